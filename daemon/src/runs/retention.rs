//! Which spools may go: delivered ones, by age and by size. Pure.

use hostler_proto::ids::RunId;
use hostler_proto::time::UtcMillis;

use crate::config::Logs;

/// A day, milliseconds.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The spools to delete. `spools`: delivered ones, oldest first, with when they ended and their size.
pub fn to_delete(spools: &[(RunId, UtcMillis, u64)], keep: &Logs, now: UtcMillis) -> Vec<RunId> {
    let keep_ms = i64::from(keep.keep_days) * DAY_MS;
    let keep_bytes = keep.keep_mb.saturating_mul(1 << 20);
    let mut kept_bytes = 0_u64;
    let mut gone: Vec<RunId> = spools
        .iter()
        .rev()
        .filter_map(|(id, ended, bytes)| {
            kept_bytes = kept_bytes.saturating_add(*bytes);
            (now.since(*ended) > keep_ms || kept_bytes > keep_bytes).then_some(*id)
        })
        .collect();
    gone.reverse();
    gone
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn old_ones_go_and_so_do_the_oldest_of_too_many() {
        let id = |number| RunId(Uuid::from_u128(number));
        let keep = Logs::default();
        let (day, half) = (UtcMillis(DAY_MS), keep.keep_mb << 19);
        let now = UtcMillis(DAY_MS * 15 + 1);
        let spools = [
            (id(1), day, 1),
            (id(2), UtcMillis(now.0 - 30), half),
            (id(3), UtcMillis(now.0 - 20), half),
            (id(4), UtcMillis(now.0 - 10), half),
        ];
        assert_eq!(to_delete(&spools, &keep, now), [id(1), id(2)]);
        assert!(to_delete(&spools[2..], &keep, now).is_empty());
    }
}
