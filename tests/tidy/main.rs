//! The rules of the house that a compiler does not keep: which layer may use what, what a file may
//! be called and how long it may grow. Every rule is a function from the tree to the places that
//! break it; it is run on the repository, and on a sample it must find fault with.

#[cfg(test)]
mod layers;
#[cfg(test)]
mod source;
#[cfg(test)]
mod style;

/// Fails with every finding, one a line, as `file:line: what`.
#[cfg(test)]
fn assert_clean(findings: &[source::Finding]) {
    let list: Vec<String> = findings.iter().map(ToString::to_string).collect();
    assert!(
        list.is_empty(),
        "{} finding(s)\n{}",
        list.len(),
        list.join("\n")
    );
}

/// Checks that a rule finds exactly these lines of a sample.
#[cfg(test)]
fn assert_found(findings: &[source::Finding], expected: &[&str]) {
    let places: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let matches = places.len() == expected.len()
        && places
            .iter()
            .zip(expected)
            .all(|(place, start)| place.starts_with(start));
    assert!(matches, "found {places:#?}, expected {expected:#?}");
}
