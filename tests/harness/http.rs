//! Plain HTTP as any client sends it, with nothing of the product's own code in between.

use std::time::Duration;

use serde_json::Value;

/// An HTTP client for one address.
pub(crate) struct Http {
    base: String,
    agent: ureq::Agent,
}

/// What came back, with the body read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Http {
    pub(crate) fn new(base: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(Duration::from_secs(120)))
            .build()
            .into();
        Self {
            base: base.to_owned(),
            agent,
        }
    }

    /// Whether anything answers at all.
    pub(crate) fn answers(&self) -> bool {
        self.agent.get(&self.base).call().is_ok()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.call())
    }

    /// `DELETE`; the answer as it comes.
    #[track_caller]
    pub(crate) fn delete_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.delete(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.call())
    }

    #[track_caller]
    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::read(request.send(body))
    }

    /// Asks to delete; whatever comes of it.
    pub(crate) fn delete(&self, path: &str) {
        drop(self.agent.delete(format!("{}{path}", self.base)).call());
    }
}

impl Answer {
    #[track_caller]
    fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Self {
        let mut response = response.unwrap_or_else(|error| panic!("no answer: {error}"));
        let headers = response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.as_str().to_owned(),
                    String::from_utf8_lossy(value.as_bytes()).into_owned(),
                )
            })
            .collect();
        let status = response.status().as_u16();
        let body = response
            .body_mut()
            .with_config()
            .limit(64 << 20)
            .read_to_string()
            .unwrap_or_default();
        Self {
            status,
            headers,
            body,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The JSON messages of the answer: one body, or the events of a stream.
    pub(crate) fn messages(&self) -> Vec<Value> {
        if self
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/event-stream"))
        {
            let data = self
                .body
                .lines()
                .filter_map(|line| line.strip_prefix("data:"));
            return data
                .filter_map(|text| serde_json::from_str(text.trim()).ok())
                .collect();
        }
        serde_json::from_str(&self.body).into_iter().collect()
    }
}
