//! Repositories whose registration a form no longer waits for: going on, or failed and why.
//!
//! Each is its visitor's alone, and at most [`MOST`] of one are kept. They are kept in memory: after a
//! start of the server a clone that goes on is listed by what its host tells, and one that has failed
//! is not.

use std::sync::{Mutex, PoisonError};

use hostler_proto::error::Failure;
use hostler_proto::ids::{OrgId, UserId};
use hostler_proto::time::UtcMillis;
use maud::{Markup, html};

use super::parts::when;
use super::{input, layout, text};
use crate::auth::Caller;
use crate::auth::session::Visitor;
use crate::clock;
use crate::hosts_catalog::HostView;

/// So many of one person are kept, the newest.
const MOST: usize = 20;

/// Everybody's.
#[derive(Debug, Default)]
pub(crate) struct Clones {
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    begun: u64,
    all: Vec<Underway>,
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Underway {
    id: u64,
    org: OrgId,
    user: UserId,
    /// The host's id, as the form gave it.
    host: String,
    /// The address, or the path of a checkout.
    source: String,
    began: UtcMillis,
    /// Why it failed.
    failure: Option<Failure>,
}

impl Clones {
    /// Notes one that begins; its number.
    pub(crate) fn begin(&self, caller: &Caller, host: &str, source: &str) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.begun += 1;
        let id = known.begun;
        known.all.push(Underway {
            id,
            org: caller.org_id,
            user: caller.user_id,
            host: host.to_owned(),
            source: source.to_owned(),
            began: clock::wall(),
            failure: None,
        });
        let of_user = |one: &Underway| one.user == caller.user_id;
        let count = known.all.iter().filter(|one| of_user(one)).count();
        if count > MOST
            && let Some(oldest) = known.all.iter().position(of_user)
        {
            known.all.remove(oldest);
        }
        id
    }

    /// It failed.
    pub(crate) fn failed(&self, id: u64, failure: &Failure) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(one) = known.all.iter_mut().find(|one| one.id == id) {
            one.failure = Some(text::for_people(failure.clone()));
        }
    }

    /// It is done, or its visitor has been told.
    pub(super) fn forget(&self, caller: &Caller, id: u64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .all
            .retain(|one| one.id != id || one.user != caller.user_id);
    }

    /// Those of a person in the organization they work in, oldest first.
    pub(super) fn of(&self, caller: &Caller) -> Vec<Underway> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |one: &&Underway| one.user == caller.user_id && one.org == caller.org_id;
        known.all.iter().filter(own).cloned().collect()
    }
}

impl Underway {
    pub(super) fn goes_on(&self) -> bool {
        self.failure.is_none()
    }
}

/// How each stands, for the page of projects.
pub(super) fn told(visitor: &Visitor, all: &[Underway], hosts: &[HostView]) -> Markup {
    html! {
        div.stack.wide #clones data-live {
            @for one in all { (underway(visitor, one, hosts)) }
        }
    }
}

fn underway(visitor: &Visitor, one: &Underway, hosts: &[HostView]) -> Markup {
    let mut known = hosts.iter();
    let host = known.find(|host| host.id.to_string() == one.host);
    let host = host.map_or("a host that is gone", |host| &host.name);
    let what = html! { strong { (text::line(&one.source)) } " on " strong { (text::line(host)) } };
    let query = input::query(&[("host", &one.host), ("url", &one.source)]);
    html! {
        @match &one.failure {
            None => div.note role="status" {
                p { "Cloning " (what) ", begun " (when(one.began, clock::wall())) "." }
            },
            Some(failure) => {
                div.problem role="alert" {
                    p { "Could not register " (what) "." }
                    p { (layout::sentence(&failure.message)) "." }
                    @if let Some(hint) = &failure.hint { p.hint { (layout::sentence(hint)) } }
                    @if let Some(detail) = &failure.detail { pre { (text::shown(detail)) } }
                    div.actions {
                        a.button.small href=(format!("/projects/new?{query}")) { "Try again" }
                        form.inline method="post" action="/projects/dismiss" {
                            (layout::csrf(visitor))
                            input type="hidden" name="clone" value=(one.id);
                            button.small type="submit" { "Dismiss" }
                        }
                    }
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use hostler_proto::error::ErrorCode;

    use super::*;
    use crate::auth::{Role, Scopes, Via};

    fn somebody(user: u128) -> Caller {
        Caller {
            org_id: OrgId(uuid::Uuid::from_u128(1)),
            user_id: UserId(uuid::Uuid::from_u128(user)),
            role: Role::Member,
            token_id: uuid::Uuid::from_u128(9),
            scopes: Scopes::all(),
            label: String::new(),
            via: Via {
                client: "console".to_owned(),
                address: None,
            },
        }
    }

    #[test]
    fn each_is_its_visitors_alone_and_they_do_not_pile_up() {
        let (clones, ada, eve) = (Clones::default(), somebody(1), somebody(2));
        let first = clones.begin(&ada, "h", "https://example.com/a.git");
        clones.failed(first, &Failure::new(ErrorCode::HostError, "no such host"));
        assert!(clones.of(&eve).is_empty());
        clones.forget(&eve, first);
        let known = clones.of(&ada);
        assert_eq!(known.len(), 1, "nobody else dismisses it");
        assert!(!known[0].goes_on());
        for _ in 0..MOST {
            clones.begin(&ada, "h", "https://example.com/b.git");
        }
        let known = clones.of(&ada);
        assert_eq!(known.len(), MOST);
        assert!(known.iter().all(Underway::goes_on), "the oldest went");
        let in_another = Caller {
            org_id: OrgId(uuid::Uuid::from_u128(7)),
            ..somebody(1)
        };
        assert!(clones.of(&in_another).is_empty());
    }
}
