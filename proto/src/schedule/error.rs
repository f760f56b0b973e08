//! Every refusal of a schedule, as one sentence that also says what to write instead.
//!
//! Refusals of the expansion (what RFC 5545 forbids, or what cannot be read) and of the product
//! (limits on top of the RFC) stand together, so that one table maps them to tool errors.

use thiserror::Error;

/// Why a schedule is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ScheduleError {
    #[error("The schedule is empty; write a rule such as FREQ=DAILY;BYHOUR=9;BYMINUTE=0.")]
    Empty,
    #[error(
        "The schedule has {length} characters and at most {limit} are allowed; write fewer parts, or split it into two automations."
    )]
    TooLong { length: usize, limit: usize },
    #[error(
        "The schedule has more than {limit} {what}; use fewer, or split it into two automations."
    )]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "The line {line:?} is not a schedule line; write RRULE:, EXRULE:, RDATE: or EXDATE: lines, or a bare rule such as FREQ=DAILY."
    )]
    UnknownLine { line: String },
    #[error("DTSTART does not belong in the rule; give the start in the dtstart field instead.")]
    DtstartInRule,
    #[error(
        "The line parameter {parameter:?} is not understood; only TZID= and VALUE=DATE or VALUE=DATE-TIME are, and only on RDATE and EXDATE."
    )]
    UnknownParameter { parameter: String },
    #[error(
        "The rule has no FREQ; start it with one of FREQ=MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY."
    )]
    NoFreq,
    #[error(
        "FREQ={value} is not a frequency; write one of MINUTELY, HOURLY, DAILY, WEEKLY, MONTHLY or YEARLY."
    )]
    UnknownFreq { value: String },
    #[error(
        "{part:?} is not a rule part; write NAME=value parts separated by ';', such as FREQ=WEEKLY;BYDAY=MO."
    )]
    NotAPart { part: String },
    #[error(
        "{name} is not a part of RFC 5545 rules; use FREQ, INTERVAL, COUNT, UNTIL, WKST, BYMONTH, BYWEEKNO, BYYEARDAY, BYMONTHDAY, BYDAY, BYHOUR, BYMINUTE, BYSECOND or BYSETPOS."
    )]
    UnknownPart { name: String },
    #[error("{name} stands twice in one rule; write it once, with its values separated by commas.")]
    RepeatedPart { name: String },
    #[error("{name}={value} cannot be read; write {instead}.")]
    BadValue {
        name: String,
        value: String,
        instead: &'static str,
    },
    #[error("INTERVAL=0 would never advance; write INTERVAL=1 or leave INTERVAL out.")]
    IntervalZero,
    #[error(
        "COUNT and UNTIL cannot stand together; keep COUNT for a number of instants or UNTIL for a last date."
    )]
    CountAndUntil,
    #[error("{part} is not allowed with FREQ={freq} (RFC 5545); {instead}.")]
    Forbidden {
        part: &'static str,
        freq: &'static str,
        instead: &'static str,
    },
    #[error(
        "BYSETPOS needs another BY part to choose from; add one such as BYDAY=MO,TU,WE,TH,FR or leave BYSETPOS out."
    )]
    SetPosAlone,
    #[error("UNTIL is before the start ({start}); write an UNTIL after it or an earlier dtstart.")]
    UntilBeforeStart { start: String },
    #[error(
        "The time zone {name:?} is not known on this machine; write an IANA name such as America/New_York, Europe/Berlin or UTC."
    )]
    UnknownZone { name: String },
    #[error(
        "The start {value:?} cannot be read; write RFC 3339 such as 2026-03-01T09:00:00-05:00, or local time such as 20260301T090000."
    )]
    BadStart { value: String },
    #[error("The start {value:?} is outside the years 1 to 9999; write a start within them.")]
    StartOutOfRange { value: String },
    #[error(
        "FREQ=SECONDLY is too often for an automation; write FREQ=MINUTELY, the shortest period being 60 seconds."
    )]
    Secondly,
    #[error(
        "The schedule would fire twice within 60 seconds; keep a single BYSECOND value and at least a minute between instants."
    )]
    TooOften,
    #[error("COUNT={count} is above {limit}; write a smaller COUNT, or UNTIL with a last date.")]
    CountTooLarge { count: u32, limit: u32 },
    #[error(
        "Every instant of the schedule is in the past (the last was {last}); write a later dtstart, UNTIL or COUNT."
    )]
    AllPast { last: String },
    #[error(
        "The schedule has no instant at all; check that its BY parts, start and end can be met together."
    )]
    NeverFires,
    #[error("The schedule has no instant in the next 8 years; write one that fires sooner.")]
    TooFar,
    #[error(
        "{text:?} is not a cron line; write five fields: minute hour day-of-month month day-of-week, such as 0 9 * * 1-5."
    )]
    NotCron { text: String },
    #[error(
        "The cron {field} field {value:?} cannot be read; write *, numbers, ranges and steps within {range}, such as {example}."
    )]
    CronField {
        field: &'static str,
        value: String,
        range: &'static str,
        example: &'static str,
    },
    #[error(
        "{alias} has no rule: it means \"when the machine starts\"; write times instead, such as 0 9 * * 1-5."
    )]
    CronAlias { alias: String },
    #[error(
        "The line is not a request: {reason}; write {{\"id\", \"rrule\", \"dtstart\", \"timezone\", \"limit\"}} as one JSON object."
    )]
    BadRequest { reason: String },
}

impl ScheduleError {
    /// The stable word for this kind of refusal, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Empty
            | Self::UnknownLine { .. }
            | Self::DtstartInRule
            | Self::UnknownParameter { .. }
            | Self::NoFreq
            | Self::UnknownFreq { .. }
            | Self::NotAPart { .. }
            | Self::UnknownPart { .. }
            | Self::RepeatedPart { .. }
            | Self::BadValue { .. }
            | Self::IntervalZero
            | Self::CountAndUntil
            | Self::Forbidden { .. }
            | Self::SetPosAlone => "invalid_rule",
            Self::TooLong { .. } | Self::TooMany { .. } => "schedule_too_long",
            Self::UntilBeforeStart { .. } => "until_before_start",
            Self::UnknownZone { .. } => "unknown_timezone",
            Self::BadStart { .. } | Self::StartOutOfRange { .. } => "invalid_dtstart",
            Self::Secondly | Self::TooOften => "schedule_too_frequent",
            Self::CountTooLarge { .. } => "count_too_large",
            Self::AllPast { .. } => "schedule_in_past",
            Self::NeverFires | Self::TooFar => "schedule_never_fires",
            Self::NotCron { .. } | Self::CronField { .. } | Self::CronAlias { .. } => {
                "invalid_cron"
            }
            Self::BadRequest { .. } => "invalid_request",
        }
    }
}

/// The beginning of a user's text, short enough to quote in a sentence.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(SHOWN).collect();
    short.push('…');
    short
}
