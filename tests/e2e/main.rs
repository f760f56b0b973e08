//! The real program, driven as a user drives it: over HTTP, from its command line and through real
//! agent clients, with real git repositories and real faults.

#[cfg(test)]
#[path = "../harness/mod.rs"]
mod harness;

#[cfg(test)]
mod agents;
#[cfg(test)]
mod automations;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod clients;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod console;
#[cfg(test)]
mod console_runs;
#[cfg(test)]
mod crash;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod endurance;
#[cfg(test)]
mod escaping;
#[cfg(test)]
mod governing;
#[cfg(test)]
mod history;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod oauth_clients;
#[cfg(test)]
mod other_clients;
#[cfg(test)]
mod preview;
#[cfg(test)]
mod projects;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod schedule_input;
#[cfg(test)]
mod schedules;
#[cfg(test)]
mod show_access;
#[cfg(test)]
mod signing_in;
#[cfg(test)]
mod space;
#[cfg(test)]
mod strangers;
#[cfg(test)]
mod strangers_pages;
#[cfg(test)]
mod tasks;
#[cfg(test)]
mod tools;
#[cfg(test)]
mod up;
#[cfg(test)]
mod wire;
#[cfg(test)]
mod workspaces;
#[cfg(test)]
mod zones;
