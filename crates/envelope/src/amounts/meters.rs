//! Amounts of several meters together.

use std::fmt;

use crate::amounts::amount::Amount;
use crate::base::wire::{Extra, wire_object};

/// One of the meters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MeterName {
    /// Tokens of a language model.
    Tokens,
    /// Cost, in the unit that the mesh agreed on.
    Cost,
    /// Agent-seconds: how long attempts ran, one beside another counted twice.
    Time,
}

wire_object! {
    /// Amounts of meters; a meter that is absent is not meant.
    #[derive(Default)]
    pub struct Amounts {
        /// Language model tokens.
        opt tokens: Amount,
        /// Cost, in the unit that the mesh agreed on.
        opt cost: Amount,
        /// Time, in seconds.
        opt time: Amount,
    }
}

impl MeterName {
    /// All meters.
    pub const ALL: [Self; 3] = [Self::Tokens, Self::Cost, Self::Time];

    /// The name of its field.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cost => "cost",
            Self::Time => "time",
        }
    }
}

impl Amounts {
    /// None of any meter.
    pub const NONE: Self = Self {
        tokens: None,
        cost: None,
        time: None,
        extra: Extra::new(),
    };

    /// The amount of one meter, where it is meant.
    pub const fn of(&self, meter: MeterName) -> Option<Amount> {
        match meter {
            MeterName::Tokens => self.tokens,
            MeterName::Cost => self.cost,
            MeterName::Time => self.time,
        }
    }

    /// The amount of one meter, or nothing.
    pub fn get(&self, meter: MeterName) -> Amount {
        self.of(meter).unwrap_or_default()
    }

    /// Sets the amount of one meter.
    pub const fn set(&mut self, meter: MeterName, amount: Amount) {
        let field = match meter {
            MeterName::Tokens => &mut self.tokens,
            MeterName::Cost => &mut self.cost,
            MeterName::Time => &mut self.time,
        };
        *field = Some(amount);
    }

    /// The same with this amount of one meter.
    #[must_use]
    pub const fn with(mut self, meter: MeterName, amount: Amount) -> Self {
        self.set(meter, amount);
        self
    }

    /// Adds other amounts.
    pub fn add(&mut self, other: &Self) {
        for (meter, amount) in other.iter() {
            self.set(meter, self.get(meter).plus(amount));
        }
    }

    /// Whether there is as much of each meter that is meant, where what there is bounds it.
    pub fn fit(&self, left: &Self) -> bool {
        self.iter()
            .all(|(meter, amount)| left.of(meter).is_none_or(|left| amount <= left))
    }

    /// What is left without other amounts, of the meters that are meant here; never less than nothing.
    #[must_use]
    pub fn less(mut self, other: &Self) -> Self {
        for meter in MeterName::ALL {
            if let Some(amount) = self.of(meter) {
                self.set(meter, amount.less(other.get(meter)));
            }
        }
        self
    }

    /// The meters that are meant, with their amounts.
    pub fn iter(&self) -> impl Iterator<Item = (MeterName, Amount)> + '_ {
        MeterName::ALL
            .into_iter()
            .filter_map(|meter| Some((meter, self.of(meter)?)))
    }

    /// Whether no meter has more than nothing.
    pub fn are_zero(&self) -> bool {
        self.iter().all(|(_, amount)| amount.is_zero())
    }

    /// These, where there is more than nothing of any.
    pub fn unless_zero(self) -> Option<Self> {
        (!self.are_zero()).then_some(self)
    }
}

impl fmt::Display for Amounts {
    /// `1200 tokens and 0.02 of cost`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told: Vec<String> = self.iter().map(|(meter, amount)| told(meter, amount)).collect();
        match told.is_empty() {
            true => f.write_str("nothing"),
            false => f.write_str(&told.join(" and ")),
        }
    }
}

/// An amount of a meter, for people.
pub(crate) fn told(meter: MeterName, amount: Amount) -> String {
    match meter {
        MeterName::Tokens => format!("{amount} tokens"),
        MeterName::Cost => format!("{amount} of cost"),
        MeterName::Time => format!("{amount} s"),
    }
}
