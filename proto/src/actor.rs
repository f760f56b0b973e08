//! Who wants something of a host: a person of the organization, as the control plane names them.
//!
//! The host compares it with the members its owner allows. That it is who asked is the control
//! plane's word; the host cannot check it.

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// A person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// Identity in the control plane.
    pub user_id: UserId,
    /// Their email.
    pub email: String,
}
