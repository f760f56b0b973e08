//! Enrolment and leaving.

use hostler_proto::enrol::{LEAVE_PATH, LeaveRequest, leave_statement};
use hostler_proto::link::close;

use super::*;
use crate::auth::{Secret, SecretKind};
use crate::store;

#[tokio::test(flavor = "multi_thread")]
async fn a_key_enrols_one_host_however_often_it_is_posted() {
    let served = Served::start().await;
    let (secret, pair) = (served.keys[0].clone(), HostKey::from_bytes(&[1; 32]));
    let first = post_enrol(&served.url, &secret, &pair, "box").await;
    let again = post_enrol(&served.url, &secret, &pair, "box").await;
    assert_eq!(first.0, 200, "{}", first.1);
    assert_eq!(first, again);
    let reply: EnrolReply = serde_json::from_str(&first.1).unwrap();
    assert_eq!(reply.server_id, served.app.server.id);
    let other = HostKey::from_bytes(&[2; 32]);
    let (status, body) = post_enrol(&served.url, &secret, &other, "other").await;
    assert_eq!(status, 401, "{body}");
    assert!(body.contains("fresh key"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_good_enrolment_key_and_a_signed_request_enrol() {
    let served = Served::start().await;
    let pair = HostKey::from_bytes(&[1; 32]);
    let never = Secret::mint(SecretKind::EnrolmentKey, &[9; 32]);
    let api_key = Secret::mint(SecretKind::ApiKey, &[9; 32]);
    for secret in [never.expose(), api_key.expose(), "hk_", "", "nonsense"] {
        let (status, body) = post_enrol(&served.url, secret, &pair, "box").await;
        assert_eq!(status, 401, "{secret}: {body}");
    }
    let secret = served.keys[0].clone();
    let forged = EnrolRequest {
        name: "box".into(),
        public_key: HostKey::from_bytes(&[3; 32]).public_hex(),
        signature: pair.sign(&enrol_statement(&secret, "box")),
    };
    let forged = serde_json::to_string(&forged).unwrap();
    for body in [forged.as_str(), "{}", "not json", ""] {
        let (status, answer) = post(&served.url, ENROL_PATH, &secret, body.to_owned()).await;
        assert_eq!(status, 400, "{body}: {answer}");
    }
    for name in ["", "   ", "a\nb", &"x".repeat(101)] {
        let (status, answer) = post_enrol(&served.url, &secret, &pair, name).await;
        assert_eq!(status, 400, "{name:?}: {answer}");
    }
    let (status, _) = post_enrol(&served.url, &secret, &pair, "box").await;
    assert_eq!(status, 200, "the key is still good after all that");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_for_fifteen_minutes() {
    let served = Served::start().await;
    let secret = Secret::read(&served.keys[0]).unwrap();
    let hash = secret.hash().to_string();
    let row = store::tokens::by_hash(&served.app.store, &hash).await;
    let row = row.unwrap().unwrap();
    let good = row.expires_at.unwrap().since(row.created_at);
    assert_eq!(good, 15 * 60 * 1_000);
    let mut tx = served.app.store.begin().await.unwrap();
    let late = row.expires_at.unwrap();
    assert!(!store::tokens::spend(&mut tx, row.id, late).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_leaves_the_key_good() {
    let mut served = Served::start().await;
    served.enrol("box").await;
    let secret = served.keys.pop().unwrap();
    let pair = HostKey::from_bytes(&[4; 32]);
    let (status, body) = post_enrol(&served.url, &secret, &pair, "BOX").await;
    assert_eq!(status, 409, "{body}");
    let (status, body) = post_enrol(&served.url, &secret, &pair, "box 2").await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_leaves_is_gone_at_once_and_only_it_can_say_so() {
    let mut served = Served::start().await;
    let host = served.enrol("box").await;
    let mut connected = host.connect().await;
    let leave = |key: &HostKey| {
        let statement = leave_statement(host.id, host.server_id);
        let request = LeaveRequest {
            host_id: host.id,
            signature: key.sign(&statement),
        };
        serde_json::to_string(&request).unwrap()
    };
    let forged = leave(&HostKey::from_bytes(&[8; 32]));
    assert_eq!(post(&served.url, LEAVE_PATH, "", forged).await.0, 404);
    assert!(served.app.hosts.online(host.id).is_some());
    for _ in 0..2 {
        let (status, body) = post(&served.url, LEAVE_PATH, "", leave(&host.key)).await;
        assert_eq!(status, 200, "{body}");
    }
    let why = connected.ended().await;
    assert!(matches!(why, Ended::Closed(close::GONE, _)), "{why:?}");
    let Ended::Rejected(reject) = host.refused().await else {
        panic!("a host that left was taken");
    };
    assert!(reject.fatal, "{reject:?}");
}
