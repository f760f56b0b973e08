//! What tools answer with when it takes more than a few fields: the records of automations and runs
//! in the words and shapes of the tools.

pub(super) mod automations;
pub(super) mod runs;
