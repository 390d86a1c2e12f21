//! Faults that a test build can put into the runtime, one at a time, to prove that a test notices: see
//! `docs/reliability.md`.
//!
//! They exist only with the feature `mutants`, which no product enables, and act only in a process whose environment
//! names one in `BATON_MUTANT`. Without the feature [`Mutant::is_on`] is `false` at compile time, and no code remains.

/// A fault, named after the invariant it breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// I1: the sweeper finds no lost ticket.
    I1SweeperSleeps,
    /// I2: ledger writes are not guarded.
    I2Unguarded,
    /// I3: an ended intent can end again.
    I3EndsTwice,
    /// I4: a parked intent can complete.
    I4ParkedCompletes,
    /// I5: a committed handoff has no ticket.
    I5NoTicket,
    /// I6: the recorded steps of a hop are not loaded.
    I6StepsForgotten,
    /// I7: every ticket goes to version 1.0.0.
    I7OneVersion,
    /// I8: a parked intent holds no version open.
    I8ParkedHoldsNothing,
    /// I9: the limit on hops is one too high.
    I9OneHopMore,
    /// I10: every successor counts as carrying the constraints.
    I10Uncarried,
    /// I11: unknown fields are dropped.
    I11UnknownDropped,
    /// I12: a release counts as a death.
    I12ReleaseBurns,
    /// I13: nobody ends an intent whose deadline has passed.
    I13DeadlineSleeps,
    /// I14: the least urgent band comes first.
    I14Reversed,
    /// I15: a heartbeat is trusted on any subject.
    I15AnyoneSpeaks,
    /// I16: a full stream discards its oldest.
    I16Discards,
    /// P1: a wait whose signal has come is not ended.
    P1SleepsOverSignals,
    /// P2: a signal that comes again is recorded again.
    P2ToldAgain,
    /// P3: no timer fires.
    P3TimersSleep,
    /// P4: a firing gets a new id each time it is made.
    P4FiresAnew,
    /// P5: nobody submits the children of a call.
    P5ChildrenForgotten,
    /// P6: a parent whose children have ended does not go on.
    P6NeverJoins,
    /// P7: the open children of a closed parent are left alone.
    P7OrphansLive,
    /// P8: whoever decides may decide.
    P8AnyoneDecides,
    /// P9: the last receiver of a broadcast gets no copy.
    P9OneForgotten,
    /// P10: what was done first is undone first.
    P10OldestFirst,
    /// P11: a kill spares what no record says that it runs.
    P11SparesUnheld,
    /// P12: every intent with a key has its turn at once.
    P12KeysIgnored,
    /// P13: work by hand owes a ticket.
    P13HandsOwe,
    /// P14: a detour uses up an entry of the itinerary.
    P14DetoursSkip,
    /// C1: an object that a full stream refuses counts as stored.
    C1RefusedIsStored,
    /// C2: what a catalogue lists is not read.
    C2CatalogueUnread,
    /// C3: objects of a context are read whatever their hashes.
    C3HashesIgnored,
    /// C4: the text of a view is not counted.
    C4CountSkipped,
    /// C5: a pinned memory is trimmed as any other.
    C5PinsTrimmed,
    /// C6: candidates stay in the order in which they came.
    C6InputOrderCounts,
    /// C7: the manifest forgets what is not in the view at all.
    C7ManifestForgets,
    /// C8: no memory has room, however short it is.
    C8NothingHasRoom,
    /// C9: a large budget is taken for what is left of it after 65,536.
    C9BudgetWraps,
    /// C10: content that is there already is taken for something else.
    C10PresentIsOther,
    /// C11: a handoff forgets the gaps of the envelope before it.
    C11GapsForgotten,
    /// C12: the objects of a tree go while an intent of it is open.
    C12OpenIsPurged,
    /// C13: the objects of a closed tree go, whatever the archive has of them.
    C13ArchiveUnread,
    /// B1: what a child spent beyond its share does not reach its parent.
    B1OverrunLost,
    /// B2: whatever a holder asks for fits.
    B2HoldsBeyond,
    /// B3: the end of a child settles each time that it is told.
    B3SettlesTwice,
    /// B4: what an earlier holder had held is forgotten.
    B4HoldForgotten,
    /// B5: each child gets all that is left.
    B5OwnAllowance,
    /// B6: every call is granted, whatever its agent has spent today.
    B6CapIgnored,
}

impl Mutant {
    /// Every fault.
    pub const ALL: [Self; 49] = [
        Self::I1SweeperSleeps,
        Self::I2Unguarded,
        Self::I3EndsTwice,
        Self::I4ParkedCompletes,
        Self::I5NoTicket,
        Self::I6StepsForgotten,
        Self::I7OneVersion,
        Self::I8ParkedHoldsNothing,
        Self::I9OneHopMore,
        Self::I10Uncarried,
        Self::I11UnknownDropped,
        Self::I12ReleaseBurns,
        Self::I13DeadlineSleeps,
        Self::I14Reversed,
        Self::I15AnyoneSpeaks,
        Self::I16Discards,
        Self::P1SleepsOverSignals,
        Self::P2ToldAgain,
        Self::P3TimersSleep,
        Self::P4FiresAnew,
        Self::P5ChildrenForgotten,
        Self::P6NeverJoins,
        Self::P7OrphansLive,
        Self::P8AnyoneDecides,
        Self::P9OneForgotten,
        Self::P10OldestFirst,
        Self::P11SparesUnheld,
        Self::P12KeysIgnored,
        Self::P13HandsOwe,
        Self::P14DetoursSkip,
        Self::C1RefusedIsStored,
        Self::C2CatalogueUnread,
        Self::C3HashesIgnored,
        Self::C4CountSkipped,
        Self::C5PinsTrimmed,
        Self::C6InputOrderCounts,
        Self::C7ManifestForgets,
        Self::C8NothingHasRoom,
        Self::C9BudgetWraps,
        Self::C10PresentIsOther,
        Self::C11GapsForgotten,
        Self::C12OpenIsPurged,
        Self::C13ArchiveUnread,
        Self::B1OverrunLost,
        Self::B2HoldsBeyond,
        Self::B3SettlesTwice,
        Self::B4HoldForgotten,
        Self::B5OwnAllowance,
        Self::B6CapIgnored,
    ];

    /// Its name in `BATON_MUTANT`; it starts with the invariant.
    pub fn name(self) -> String {
        format!("{self:?}")
    }

    /// Whether this process runs with this fault.
    #[cfg(not(feature = "mutants"))]
    #[inline]
    pub const fn is_on(self) -> bool {
        false
    }

    /// Whether this process runs with this fault.
    #[cfg(feature = "mutants")]
    pub fn is_on(self) -> bool {
        static CHOSEN: std::sync::OnceLock<Option<Mutant>> = std::sync::OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var("BATON_MUTANT").ok()?;
            Self::ALL.into_iter().find(|mutant| mutant.name() == name)
        }) == Some(self)
    }
}

#[cfg(all(feature = "mutants", not(debug_assertions)))]
compile_error!("the feature `mutants` is for test builds: it puts faults into the runtime");
