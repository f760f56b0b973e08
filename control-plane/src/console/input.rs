//! What queries and forms hold, read the way people fill them in: an empty field is no answer.

use std::future::Future;
use std::time::Duration;

use hostler_proto::error::Failure;

/// How many rows a page of a list holds.
pub(super) const PAGE: u32 = 50;

/// How long a form waits for a host before the page goes on without its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The text without white space around it; none when nothing is left.
pub(super) fn given(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// How many rows to leave out; what is no number, or beyond any list, is the beginning or the end.
pub(super) fn offset(text: &str) -> u64 {
    text.trim().parse().unwrap_or(0).min(1_000_000_000)
}

/// A query of the values that are not empty.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let given = pairs.iter().filter(|(_, value)| !value.trim().is_empty());
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(given)
        .finish()
}

/// Warnings as sentences after what was done.
pub(super) fn sentences(warnings: &[String]) -> String {
    let ended = warnings.iter().map(|text| [" ", text, "."].concat());
    ended.collect::<Vec<_>>().concat()
}

/// Waits for work that goes on by itself; none when it takes longer than a page may.
pub(super) async fn patiently<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(done) => done.map(Some),
        Err(_) => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_fields_are_no_answer_and_others_are_kept_whole() {
        assert_eq!(given(" \t "), None);
        assert_eq!(given(" a b "), Some("a b".to_owned()));
        assert_eq!(offset("50"), 50);
        assert_eq!(offset("-1 OR 1"), 0);
        assert_eq!(offset("18446744073709551615"), 1_000_000_000);
        let pairs = [("q", "a&b=ü"), ("state", " "), ("host", "x y")];
        assert_eq!(query(&pairs), "q=a%26b%3D%C3%BC&host=x+y");
    }
}
