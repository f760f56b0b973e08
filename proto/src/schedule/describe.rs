//! A schedule in plain words.
use super::Schedule;
/// tmp
pub fn describe(schedule: &Schedule) -> String {
    schedule.timezone().to_owned()
}
