//! Scopes: what a token may do, by noun and by reading or writing.

use std::fmt;

/// One permission of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// See tasks.
    TasksRead,
    /// Change tasks.
    TasksWrite,
    /// See projects.
    ProjectsRead,
    /// Register projects.
    ProjectsWrite,
    /// See workspaces.
    WorkspacesRead,
    /// Make and remove workspaces.
    WorkspacesWrite,
    /// See automations and their runs.
    AutomationsRead,
    /// Change and run automations.
    AutomationsWrite,
    /// See hosts.
    HostsRead,
    /// Change hosts.
    HostsWrite,
}

/// A set of scopes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scopes(u16);

impl Scope {
    /// Every scope, in the order they are listed in.
    pub const ALL: [Self; 10] = [
        Self::TasksRead,
        Self::TasksWrite,
        Self::ProjectsRead,
        Self::ProjectsWrite,
        Self::WorkspacesRead,
        Self::WorkspacesWrite,
        Self::AutomationsRead,
        Self::AutomationsWrite,
        Self::HostsRead,
        Self::HostsWrite,
    ];

    /// The scope's name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::TasksRead => "tasks:read",
            Self::TasksWrite => "tasks:write",
            Self::ProjectsRead => "projects:read",
            Self::ProjectsWrite => "projects:write",
            Self::WorkspacesRead => "workspaces:read",
            Self::WorkspacesWrite => "workspaces:write",
            Self::AutomationsRead => "automations:read",
            Self::AutomationsWrite => "automations:write",
            Self::HostsRead => "hosts:read",
            Self::HostsWrite => "hosts:write",
        }
    }

    fn bit(self) -> u16 {
        1 << (self as u16)
    }
}

impl Scopes {
    /// Every scope: what an API key has.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Reads a space-separated list; names that are not ours are left out.
    pub fn parse(text: &str) -> Self {
        text.split_ascii_whitespace()
            .filter_map(|word| Scope::ALL.into_iter().find(|scope| scope.name() == word))
            .collect()
    }

    /// Whether every scope of it is in `other` too.
    pub fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// What either of them holds.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether it holds this scope.
    pub fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

/// The space-separated list that [`Scopes::parse`] reads.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = Scope::ALL.into_iter().filter(|scope| self.contains(*scope));
        for (at, scope) in held.enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{}", scope.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_survives_its_text() {
        assert_eq!(Scopes::parse(&Scopes::all().to_string()), Scopes::all());
        let some: Scopes = [Scope::TasksRead, Scope::HostsWrite].into_iter().collect();
        assert_eq!(some.to_string(), "tasks:read hosts:write");
        assert_eq!(Scopes::parse("hosts:write  tasks:read nonsense"), some);
        assert!(!some.contains(Scope::TasksWrite));
        assert_eq!(Scopes::default().to_string(), "");
    }
}
