//! Schedules that most people want, as choices: from choices to a rule, and back where a rule says no
//! more than choices can. Pure.

use serde::Deserialize;

/// The weekdays: RFC 5545 name and word.
pub(super) const DAYS: [(&str, &str); 7] = [
    ("MO", "Mon"),
    ("TU", "Tue"),
    ("WE", "Wed"),
    ("TH", "Thu"),
    ("FR", "Fri"),
    ("SA", "Sat"),
    ("SU", "Sun"),
];

/// How often: value and words.
pub(super) const EVERY: [(&str, &str); 5] = [
    ("hourly", "Every hour"),
    ("daily", "Every day"),
    ("weekdays", "Weekdays (Mon–Fri)"),
    ("weekly", "Chosen weekdays"),
    ("monthly", "Every month"),
];

const WEEKDAYS: &str = "MO,TU,WE,TH,FR";

/// The choices, as a form has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Choices {
    /// One of [`EVERY`].
    pub(super) every: String,
    /// Time of day, `HH:MM`.
    pub(super) at: String,
    /// Minute of the hour.
    pub(super) minute: String,
    /// Day of the month.
    pub(super) month_day: String,
    pub(super) mo: String,
    pub(super) tu: String,
    pub(super) we: String,
    pub(super) th: String,
    pub(super) fr: String,
    pub(super) sa: String,
    pub(super) su: String,
}

impl Choices {
    /// What a new automation begins with: weekdays at nine.
    pub(super) fn fresh() -> Self {
        Self {
            every: "weekdays".to_owned(),
            at: "09:00".to_owned(),
            minute: "0".to_owned(),
            month_day: "1".to_owned(),
            ..Self::default()
        }
    }

    /// The choices that give exactly this rule.
    pub(super) fn of_rule(rule: &str) -> Option<Self> {
        let rule = rule.trim().trim_start_matches("RRULE:");
        let part = |name: &str| {
            let mut parts = rule.split(';').filter_map(|part| part.split_once('='));
            parts.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let mut choices = Self::fresh();
        let minute: u8 = part("BYMINUTE")?.parse().ok()?;
        choices.minute = minute.to_string();
        if let Some(hour) = part("BYHOUR") {
            let hour: u8 = hour.parse().ok()?;
            choices.at = format!("{hour:02}:{minute:02}");
        }
        let days = part("BYDAY");
        let every = match (part("FREQ")?, days) {
            ("HOURLY", _) => "hourly",
            ("DAILY", _) => "daily",
            ("WEEKLY", Some(WEEKDAYS)) => "weekdays",
            ("WEEKLY", _) => "weekly",
            ("MONTHLY", _) => "monthly",
            _ => return None,
        };
        every.clone_into(&mut choices.every);
        if choices.every == "weekly" {
            for day in days?.split(',') {
                "on".clone_into(choices.day_mut(day)?);
            }
        }
        if let Some(day) = part("BYMONTHDAY") {
            day.clone_into(&mut choices.month_day);
        }
        (choices.rule().ok()? == rule).then_some(choices)
    }

    /// The rule they mean, or what is missing.
    pub(super) fn rule(&self) -> Result<String, String> {
        if self.every == "hourly" {
            let minute: u8 = self.minute.trim().parse().unwrap_or(60);
            return match minute {
                0..60 => Ok(format!("FREQ=HOURLY;BYMINUTE={minute}")),
                _ => Err("Choose a minute from 0 to 59.".to_owned()),
            };
        }
        let (hour, minute) = self.time().ok_or("Choose a time of day, such as 09:00.")?;
        let time = format!("BYHOUR={hour};BYMINUTE={minute}");
        match self.every.as_str() {
            "daily" => Ok(format!("FREQ=DAILY;{time}")),
            "weekdays" => Ok(format!("FREQ=WEEKLY;BYDAY={WEEKDAYS};{time}")),
            "weekly" => {
                let days: Vec<&str> = DAYS
                    .iter()
                    .map(|(day, _)| *day)
                    .filter(|day| self.has(day))
                    .collect();
                if days.is_empty() {
                    return Err("Choose at least one weekday.".to_owned());
                }
                Ok(format!("FREQ=WEEKLY;BYDAY={};{time}", days.join(",")))
            }
            "monthly" => {
                let day: u8 = self.month_day.trim().parse().unwrap_or(0);
                match day {
                    1..=31 => Ok(format!("FREQ=MONTHLY;BYMONTHDAY={day};{time}")),
                    _ => Err("Choose a day of the month from 1 to 31.".to_owned()),
                }
            }
            _ => Err("Choose how often it runs.".to_owned()),
        }
    }

    /// Whether a weekday is chosen.
    pub(super) fn has(&self, day: &str) -> bool {
        let mut copy = self.clone();
        copy.day_mut(day).is_some_and(|chosen| !chosen.is_empty())
    }

    fn day_mut(&mut self, day: &str) -> Option<&mut String> {
        Some(match day {
            "MO" => &mut self.mo,
            "TU" => &mut self.tu,
            "WE" => &mut self.we,
            "TH" => &mut self.th,
            "FR" => &mut self.fr,
            "SA" => &mut self.sa,
            "SU" => &mut self.su,
            _ => return None,
        })
    }

    fn time(&self) -> Option<(u8, u8)> {
        let mut parts = self.at.trim().split(':');
        let hour: u8 = parts.next()?.parse().ok()?;
        let minute: u8 = parts.next()?.parse().ok()?;
        (hour < 24 && minute < 60).then_some((hour, minute))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_and_rules_are_the_same_or_the_rule_stays_text() {
        for rule in [
            "FREQ=HOURLY;BYMINUTE=5",
            "FREQ=DAILY;BYHOUR=0;BYMINUTE=30",
            "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0",
            "FREQ=WEEKLY;BYDAY=TU,SU;BYHOUR=22;BYMINUTE=15",
            "FREQ=MONTHLY;BYMONTHDAY=31;BYHOUR=9;BYMINUTE=0",
        ] {
            let choices = Choices::of_rule(rule).unwrap();
            assert_eq!(choices.rule().as_deref(), Ok(rule));
        }
        for rule in [
            "FREQ=DAILY;INTERVAL=2;BYHOUR=9;BYMINUTE=0",
            "FREQ=WEEKLY;BYDAY=SU,TU;BYHOUR=9;BYMINUTE=0",
            "FREQ=DAILY;BYHOUR=9;BYMINUTE=0;COUNT=3",
            "FREQ=DAILY;BYHOUR=9,12;BYMINUTE=0",
            "FREQ=YEARLY;BYHOUR=9;BYMINUTE=0",
            "FREQ=DAILY",
            "nonsense",
        ] {
            assert_eq!(Choices::of_rule(rule), None, "{rule}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let wrong = |every: &str, at: &str| Choices {
            every: every.into(),
            at: at.into(),
            ..Choices::default()
        };
        assert!(wrong("daily", "25:00").rule().unwrap_err().contains("time"));
        assert!(
            wrong("weekly", "9:00")
                .rule()
                .unwrap_err()
                .contains("weekday")
        );
        assert!(
            wrong("monthly", "9:00")
                .rule()
                .unwrap_err()
                .contains("month")
        );
        assert!(wrong("hourly", "").rule().unwrap_err().contains("minute"));
        assert!(wrong("", "9:00").rule().unwrap_err().contains("how often"));
    }
}
