//! How much of a task is taken: the same whoever asks and whatever checked before.

use hostler_proto::error::{ErrorCode, Failure};

/// Most characters of a title.
const TITLE: usize = 500;
/// Most characters of a description.
const DESCRIPTION: usize = 100_000;
/// Most labels.
const LABELS: usize = 50;
/// Most characters of a label.
const LABEL: usize = 100;
/// Most characters of a pull request's address.
const LINK: usize = 2_000;
/// Most characters of a branch.
const BRANCH: usize = 255;

pub(super) fn title(text: &str) -> Result<(), Failure> {
    longest("title", text, TITLE)
}

pub(super) fn description(text: &str) -> Result<(), Failure> {
    longest("description", text, DESCRIPTION)
}

pub(super) fn link(text: &str) -> Result<(), Failure> {
    longest("prUrl", text, LINK)
}

pub(super) fn branch(text: &str) -> Result<(), Failure> {
    longest("branch", text, BRANCH)
}

pub(super) fn labels(labels: &[String]) -> Result<(), Failure> {
    if labels.len() > LABELS {
        return Err(refused(format!(
            "`labels` has {} entries; {LABELS} are allowed",
            labels.len()
        )));
    }
    labels
        .iter()
        .try_for_each(|label| longest("labels", label, LABEL))
}

pub(super) fn estimate(estimate: f64) -> Result<(), Failure> {
    if estimate.is_finite() && estimate > 0.0 {
        return Ok(());
    }
    Err(refused(format!(
        "`estimate` must be above 0, got {estimate}"
    )))
}

fn longest(field: &str, text: &str, most: usize) -> Result<(), Failure> {
    let length = text.chars().count();
    if length <= most {
        return Ok(());
    }
    Err(refused(format!(
        "`{field}` has {length} characters; {most} are allowed"
    )))
}

fn refused(message: String) -> Failure {
    Failure::new(ErrorCode::InvalidArgument, message)
}
