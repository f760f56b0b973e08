//! A change of one optional field: keep it, clear it, or set it.

/// A field of an update: left out keeps the value, null clears it, anything else sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// The field was left out.
    #[default]
    Keep,
    /// The field was null.
    Clear,
    /// The field was given.
    Set(T),
}

impl<T> Patch<T> {
    /// Changes `field`.
    pub fn apply(self, field: &mut Option<T>) {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value),
        }
    }

    /// Sets what is given, keeps otherwise.
    pub fn from_given(given: Option<T>) -> Self {
        given.map_or(Self::Keep, Self::Set)
    }

    /// The same change of another type of value.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Patch<U> {
        match self {
            Self::Keep => Patch::Keep,
            Self::Clear => Patch::Clear,
            Self::Set(value) => Patch::Set(change(value)),
        }
    }
}

/// None keeps, `Some(None)` clears.
impl<T> From<Patch<T>> for Option<Option<T>> {
    fn from(patch: Patch<T>) -> Self {
        match patch {
            Patch::Keep => None,
            Patch::Clear => Some(None),
            Patch::Set(value) => Some(Some(value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_does_what_it_says() {
        for (patch, expected) in [
            (Patch::Keep, Some(1)),
            (Patch::Clear, None),
            (Patch::Set(2), Some(2)),
        ] {
            let mut field = Some(1);
            patch.apply(&mut field);
            assert_eq!(field, expected, "{patch:?}");
        }
    }
}
