//! Which spools may go: delivered ones, by age and by size. Pure.

use hostler_proto::ids::RunId;
use hostler_proto::time::UtcMillis;

/// Delivered spools are kept this long, milliseconds.
pub const KEEP_MS: i64 = 14 * 24 * 60 * 60 * 1000;

/// Delivered spools together are kept up to this size, bytes.
pub const KEEP_BYTES: u64 = 5 << 30;

/// The spools to delete. `spools`: delivered ones, oldest first, with when they ended and their size.
pub fn to_delete(spools: &[(RunId, UtcMillis, u64)], now: UtcMillis) -> Vec<RunId> {
    let mut kept_bytes = 0_u64;
    let mut gone: Vec<RunId> = spools
        .iter()
        .rev()
        .filter_map(|(id, ended, bytes)| {
            kept_bytes = kept_bytes.saturating_add(*bytes);
            (now.since(*ended) > KEEP_MS || kept_bytes > KEEP_BYTES).then_some(*id)
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
        let now = UtcMillis(KEEP_MS * 2);
        let spools = [
            (id(1), UtcMillis(0), 1),
            (id(2), UtcMillis(now.0 - 30), KEEP_BYTES / 2),
            (id(3), UtcMillis(now.0 - 20), KEEP_BYTES / 2),
            (id(4), UtcMillis(now.0 - 10), KEEP_BYTES / 2),
        ];
        assert_eq!(to_delete(&spools, now), [id(1), id(2)]);
        assert!(to_delete(&spools[2..], now).is_empty());
    }
}
