//! From when until when a certificate is good, whose it is and who issued it (RFC 5280 section 4.1.2),
//! read from its DER form.
//!
//! Nothing else of a certificate is read here, and nothing is verified: that is the client's to do.

use hostler_proto::time::UtcMillis;
use jiff::civil;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// What a certificate says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Said<'a> {
    /// The first instant it is good at.
    pub(super) from: UtcMillis,
    /// The last.
    pub(super) until: UtcMillis,
    /// Who issued it, as a name in DER.
    pub(super) issuer: &'a [u8],
    /// Whose it is, as a name in DER.
    pub(super) subject: &'a [u8],
}

/// Reads a certificate; none when this is none.
pub(super) fn read(der: &[u8]) -> Option<Said<'_>> {
    let (whole, _) = expect(der, SEQUENCE)?;
    let (signed, _) = expect(whole, SEQUENCE)?;
    let (tag, _, after_version) = element(signed)?;
    let fields = if tag == VERSION {
        after_version
    } else {
        signed
    };
    let (_, _, fields) = element(fields)?; // serial number
    let (_, fields) = expect(fields, SEQUENCE)?; // algorithm
    let (issuer, fields) = expect(fields, SEQUENCE)?;
    let (times, fields) = expect(fields, SEQUENCE)?;
    let (subject, _) = expect(fields, SEQUENCE)?;
    let (tag, from, rest) = element(times)?;
    let from = instant(tag, from)?;
    let (tag, until, _) = element(rest)?;
    Some(Said {
        from,
        until: instant(tag, until)?,
        issuer,
        subject,
    })
}

fn expect(der: &[u8], wanted: u8) -> Option<(&[u8], &[u8])> {
    let (tag, content, rest) = element(der)?;
    (tag == wanted).then_some((content, rest))
}

/// Tag, content and what follows (X.690 section 8.1: definite lengths of up to four bytes).
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, der) = der.split_first()?;
    let (&length, der) = der.split_first()?;
    let (length, der) = if length < 0x80 {
        (usize::from(length), der)
    } else {
        let count = usize::from(length & 0x7f);
        if count == 0 || count > 4 {
            return None;
        }
        let (bytes, der) = der.split_at_checked(count)?;
        let add = |length: usize, byte: &u8| (length << 8) | usize::from(*byte);
        (bytes.iter().fold(0, add), der)
    };
    let (content, rest) = der.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ` of 1950 to 2049, or `YYYYMMDDHHMMSSZ`.
fn instant(tag: u8, text: &[u8]) -> Option<UtcMillis> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let year: i16 = text.get(..2)?.parse().ok()?;
            (year + if year < 50 { 2000 } else { 1900 }, text.get(2..)?)
        }
        GENERALIZED_TIME => (text.get(..4)?.parse().ok()?, text.get(4..)?),
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<i8>().ok();
    let date = civil::Date::new(year, part(0)?, part(2)?).ok()?;
    let time = civil::Time::new(part(4)?, part(6)?, part(8)?, 0).ok()?;
    let zoned = date
        .to_datetime(time)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .ok()?;
    Some(UtcMillis(zoned.timestamp().as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_forms_are_read() {
        let at = |tag, text: &str| instant(tag, text.as_bytes()).map(|at| at.to_string());
        assert_eq!(
            at(UTC_TIME, "260308073000Z").unwrap(),
            "2026-03-08T07:30:00Z"
        );
        assert_eq!(
            at(UTC_TIME, "700101000000Z").unwrap(),
            "1970-01-01T00:00:00Z"
        );
        let far = at(GENERALIZED_TIME, "20501231235959Z");
        assert_eq!(far.unwrap(), "2050-12-31T23:59:59Z");
        assert_eq!(at(UTC_TIME, "2603080730Z"), None);
        assert_eq!(at(UTC_TIME, "261308073000Z"), None);
        assert_eq!(at(0x02, "260308073000Z"), None);
    }

    #[test]
    fn what_is_cut_short_is_no_certificate() {
        for der in [
            &b""[..],
            b"\x30",
            b"\x30\x82\x01",
            b"\x30\x80",
            b"\x30\x03\x02\x01",
        ] {
            assert_eq!(read(der), None);
        }
    }
}
