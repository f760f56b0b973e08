//! Slugs: the readable ids of tasks, made from titles.

/// Longest slug, in characters (all of them ASCII).
const SLUG_MOST: usize = 50;

/// Lower-case letters and digits of a title with single dashes between words.
pub(super) fn of_title(title: &str) -> String {
    let mut slug = String::new();
    for letter in title.to_lowercase().chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.truncate(SLUG_MOST);
    let slug = slug.trim_end_matches('-');
    if slug.is_empty() {
        "task".to_owned()
    } else {
        slug.to_owned()
    }
}

/// The slug itself, or the first of `-1`, `-2`, … that is not taken.
pub(super) fn free(base: &str, taken: &[String]) -> String {
    let is_free = |slug: &String| !taken.contains(slug);
    let base = base.to_owned();
    if is_free(&base) {
        return base;
    }
    let numbered = (1..=taken.len() + 1).map(|n| {
        let end = format!("-{n}");
        let kept = base.len().min(SLUG_MOST - end.len());
        format!("{}{end}", base[..kept].trim_end_matches('-'))
    });
    numbered.into_iter().find(is_free).unwrap_or(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slugs_come_from_titles() {
        for (title, expected) in [
            ("Fix the login page!", "fix-the-login-page"),
            ("  --Über  cool-- ", "ber-cool"),
            ("日本語", "task"),
            ("a", "a"),
        ] {
            assert_eq!(of_title(title), expected, "{title}");
        }
        let long = of_title(&"word ".repeat(40));
        assert!(long.len() <= 50 && !long.ends_with('-'), "{long}");
    }

    #[test]
    fn taken_slugs_get_the_next_number_and_stay_short() {
        let taken = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        assert_eq!(free("fix", &[]), "fix");
        assert_eq!(free("fix", &taken(&["fix"])), "fix-1");
        assert_eq!(free("fix", &taken(&["fix", "fix-1", "fix-3"])), "fix-2");
        let long = "x".repeat(50);
        let next = free(&long, std::slice::from_ref(&long));
        assert_eq!(next.len(), 50);
        assert!(next.ends_with("x-1"));
    }
}
