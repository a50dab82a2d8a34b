use std::fmt;

/// What a definition is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A pattern.
    Pattern,
    /// A model of regimes.
    Regime,
}

impl Kind {
    /// "pattern", "regime".
    pub fn name(self) -> &'static str {
        match self {
            Self::Pattern => "pattern",
            Self::Regime => "regime",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
