//! Cron lines translated to rules.
//!
//! Five fields, names of months and weekdays, ranges, steps, lists and the @-words. Cron fires
//! when day-of-month OR day-of-week matches, which takes two rules; a field that starts with `*`
//! (also `*/2`) limits the other instead, as in Vixie's cron.

use super::error::{ScheduleError, quoted};

struct Field {
    name: &'static str,
    from: u8,
    to: u8,
    names: &'static [&'static str],
    range: &'static str,
    example: &'static str,
}

const MINUTE: Field = Field {
    name: "minute",
    from: 0,
    to: 59,
    names: &[],
    range: "0-59",
    example: "*/15",
};
const HOUR: Field = Field {
    name: "hour",
    from: 0,
    to: 23,
    names: &[],
    range: "0-23",
    example: "9-17",
};
const MONTH_DAY: Field = Field {
    name: "day-of-month",
    from: 1,
    to: 31,
    names: &[],
    range: "1-31",
    example: "1,15",
};
const MONTH: Field = Field {
    name: "month",
    from: 1,
    to: 12,
    names: &[
        "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
    ],
    range: "1-12 or JAN-DEC",
    example: "1,7",
};
/// 0 and 7 are both Sunday.
const WEEKDAY: Field = Field {
    name: "day-of-week",
    from: 0,
    to: 7,
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    range: "0-7 or SUN-SAT",
    example: "1-5",
};

/// The rule that fires when a cron line does.
///
/// ```
/// use hostler_proto::schedule::from_cron;
/// assert_eq!(from_cron("0 9 * * 1-5")?, "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0");
/// # Ok::<(), hostler_proto::schedule::ScheduleError>(())
/// ```
pub fn from_cron(text: &str) -> Result<String, ScheduleError> {
    let line = expand_alias(text.trim())?;
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [minute, hour, month_day, month, weekday] = fields.as_slice() else {
        return Err(ScheduleError::NotCron { text: quoted(text) });
    };
    let minutes = read(&MINUTE, minute)?;
    let hours = read(&HOUR, hour)?;
    let month_days = read(&MONTH_DAY, month_day)?;
    let months = read(&MONTH, month)?;
    let weekdays = read(&WEEKDAY, weekday)?.and_then(|days| fold_sunday(&days));
    let either = month_days.is_some()
        && weekdays.is_some()
        && !month_day.starts_with('*')
        && !weekday.starts_with('*');
    let frequency = match (&minutes, &hours) {
        (None, _) => "MINUTELY",
        (Some(_), None) => "HOURLY",
        (Some(_), Some(_)) => "DAILY",
    };
    let numbers = |values: &Option<Vec<u8>>| {
        let values = values.as_deref()?;
        Some(list(values, |value| value.to_string()))
    };
    let weekdays = weekdays.as_deref().map(|days| list(days, weekday_name));
    let rule = |month_days: Option<String>, weekdays: Option<String>| {
        let parts = [
            ("BYMONTH", numbers(&months)),
            ("BYMONTHDAY", month_days),
            ("BYDAY", weekdays),
            ("BYHOUR", numbers(&hours)),
            ("BYMINUTE", numbers(&minutes)),
        ];
        let parts = parts.map(|(name, values)| values.map(|values| format!(";{name}={values}")));
        let parts: String = parts.into_iter().flatten().collect();
        format!("FREQ={frequency}{parts}")
    };
    let month_days = numbers(&month_days);
    Ok(if either {
        format!(
            "RRULE:{}\nRRULE:{}",
            rule(month_days, None),
            rule(None, weekdays)
        )
    } else {
        rule(month_days, weekdays)
    })
}

fn expand_alias(line: &str) -> Result<&str, ScheduleError> {
    Ok(match line.to_ascii_lowercase().as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@reboot" => {
            return Err(ScheduleError::CronAlias {
                alias: line.to_owned(),
            });
        }
        _ => line,
    })
}

/// The values of a field ascending, or none if it lets everything through.
fn read(field: &Field, text: &str) -> Result<Option<Vec<u8>>, ScheduleError> {
    let mut wanted = vec![false; usize::from(field.to) + 1];
    for item in text.split(',') {
        let (first, last, step) =
            read_item(field, item).ok_or_else(|| ScheduleError::CronField {
                field: field.name,
                value: quoted(text),
                range: field.range,
                example: field.example,
            })?;
        for value in (first..=last).step_by(usize::from(step)) {
            if let Some(slot) = wanted.get_mut(usize::from(value)) {
                *slot = true;
            }
        }
    }
    let values: Vec<u8> = (field.from..=field.to)
        .filter(|value| wanted.get(usize::from(*value)) == Some(&true))
        .collect();
    let all = values.len() == usize::from(field.to - field.from) + 1;
    Ok(if all { None } else { Some(values) })
}

/// `*`, `5`, `1-5`, each with an optional `/step`: first, last and step.
fn read_item(field: &Field, item: &str) -> Option<(u8, u8, u8)> {
    let (span, step) = match item.split_once('/') {
        Some((span, step)) => (
            span,
            Some(step.parse::<u8>().ok().filter(|step| *step > 0)?),
        ),
        None => (item, None),
    };
    let (first, last) = if span == "*" {
        (field.from, field.to)
    } else if let Some((first, last)) = span.split_once('-') {
        (read_value(field, first)?, read_value(field, last)?)
    } else {
        let value = read_value(field, span)?;
        (value, if step.is_some() { field.to } else { value })
    };
    (first <= last).then_some((first, last, step.unwrap_or(1)))
}

fn read_value(field: &Field, text: &str) -> Option<u8> {
    let upper = text.to_ascii_uppercase();
    if let Some(at) = field.names.iter().position(|name| *name == upper) {
        return u8::try_from(at).ok().map(|at| at + field.from);
    }
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = text.parse().ok().filter(|_| digits)?;
    (field.from..=field.to).contains(&value).then_some(value)
}

/// Weekdays from Monday (1) to Sunday (7); none if that is all of them.
fn fold_sunday(days: &[u8]) -> Option<Vec<u8>> {
    let mut folded: Vec<u8> = days
        .iter()
        .map(|day| if *day == 0 { 7 } else { *day })
        .collect();
    folded.sort_unstable();
    folded.dedup();
    (folded.len() < 7).then_some(folded)
}

fn list(values: &[u8], written: impl Fn(u8) -> String) -> String {
    values
        .iter()
        .copied()
        .map(written)
        .collect::<Vec<_>>()
        .join(",")
}

fn weekday_name(day: u8) -> String {
    let names = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"];
    names
        .get(usize::from(day).saturating_sub(1))
        .copied()
        .unwrap_or("SU")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_rules() {
        for (line, rule) in [
            ("* * * * *", "FREQ=MINUTELY"),
            (
                "*/15 9-17 * * MON-FRI",
                "FREQ=DAILY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9,10,11,12,13,14,15,16,17;BYMINUTE=0,15,30,45",
            ),
            ("5 * * * *", "FREQ=HOURLY;BYMINUTE=5"),
            (
                "0 0 1 1 *",
                "FREQ=DAILY;BYMONTH=1;BYMONTHDAY=1;BYHOUR=0;BYMINUTE=0",
            ),
            ("30 4 * * 0,7", "FREQ=DAILY;BYDAY=SU;BYHOUR=4;BYMINUTE=30"),
            (
                "0 22 * * 5-7",
                "FREQ=DAILY;BYDAY=FR,SA,SU;BYHOUR=22;BYMINUTE=0",
            ),
            ("0 9 * * 0-6", "FREQ=DAILY;BYHOUR=9;BYMINUTE=0"),
            ("0 9 */1 * 1", "FREQ=DAILY;BYDAY=MO;BYHOUR=9;BYMINUTE=0"),
            ("@daily", "FREQ=DAILY;BYHOUR=0;BYMINUTE=0"),
            (
                "0 0 1,15 JAN-MAR 1",
                "RRULE:FREQ=DAILY;BYMONTH=1,2,3;BYMONTHDAY=1,15;BYHOUR=0;BYMINUTE=0\n\
                 RRULE:FREQ=DAILY;BYMONTH=1,2,3;BYDAY=MO;BYHOUR=0;BYMINUTE=0",
            ),
            (
                "0 0 */2 * 1",
                "FREQ=DAILY;BYMONTHDAY=1,3,5,7,9,11,13,15,17,19,21,23,25,27,29,31;BYDAY=MO;BYHOUR=0;BYMINUTE=0",
            ),
            ("0 0 * * SUN", "FREQ=DAILY;BYDAY=SU;BYHOUR=0;BYMINUTE=0"),
            ("0 0 * * 7", "FREQ=DAILY;BYDAY=SU;BYHOUR=0;BYMINUTE=0"),
        ] {
            assert_eq!(from_cron(line).as_deref(), Ok(rule), "{line}");
        }
    }

    #[test]
    fn what_no_rule_can_say_is_refused() {
        for line in [
            "",
            "0 9 * *",
            "0 9 * * * *",
            "60 * * * *",
            "0 9-5 * * *",
            "*/0 * * * *",
            "0 9 * FOO *",
            "@reboot",
            "+5 * * * *",
            "0 9 * * -1",
        ] {
            assert_eq!(
                from_cron(line).map_err(|refusal| refusal.code()),
                Err("invalid_cron"),
                "{line}"
            );
        }
    }
}
