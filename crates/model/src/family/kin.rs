//! The whole state, and what can happen next.

use baton_envelope::{Event, Status, WaitReason, next};

use super::{BrokenFamily, Family, FamilyLeft};

/// How many children each parent has.
pub(super) const CHILDREN: usize = 3;
/// The first intent, its children, and theirs.
const ALL: usize = 1 + CHILDREN + CHILDREN * CHILDREN;

/// Something forbidden, noticed as it happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Ill {
    /// A child was submitted that had lived before.
    TwoLives,
    /// An event followed a status that it may not follow.
    Illegal,
}

/// How far an intent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Stage {
    /// It has no record.
    Absent,
    /// Its ticket stands.
    Runs,
    /// It has asked its children.
    Waits,
    /// It goes on with what they came to.
    GoesOn,
    Completed,
    Failed,
    Cancelled,
    /// It was closed before anybody submitted it.
    NeverBegan,
}

impl Stage {
    fn has_ended(self) -> bool {
        self >= Self::Completed
    }

    fn is_open(self) -> bool {
        !self.has_ended() && self != Self::Absent
    }

    /// The status of its head.
    fn status(self) -> Option<Status> {
        Some(match self {
            Self::Absent => return None,
            Self::Runs | Self::GoesOn => Status::Pending,
            Self::Waits => Status::Waiting {
                reason: WaitReason::Children,
            },
            Self::Completed => Status::Completed,
            Self::Failed => Status::Failed { code: "NO".to_owned() },
            Self::Cancelled => Status::Cancelled,
            Self::NeverBegan => Status::Rejected {
                code: "PARENT_CLOSED".to_owned(),
            },
        })
    }

    /// The event that leads here from another stage.
    fn event(self) -> Event {
        match self {
            Self::Absent | Self::Runs => Event::Submitted,
            Self::Waits => Event::FannedOut,
            Self::GoesOn => Event::Resumed,
            Self::Completed => Event::Completed,
            Self::Failed => Event::Failed { code: "NO".to_owned() },
            Self::Cancelled => Event::Cancelled,
            Self::NeverBegan => Event::Rejected {
                code: "PARENT_CLOSED".to_owned(),
            },
        }
    }
}

/// One intent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct One {
    stage: Stage,
    /// Whether its end is recorded on its parent.
    recorded: bool,
    /// Whether it has asked its children.
    called: bool,
    /// Whether the ledger has nothing of it any more, and the archive has all.
    purged: bool,
    /// Whether the leader looks after its children no more.
    settled: bool,
}

/// One state of the model: the intents, level by level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kin {
    all: [One; ALL],
    pub(super) left: FamilyLeft,
    pub(super) wrong: Option<Ill>,
}

/// One thing that can happen to the intent of a place: 0 is the first, 1 to 3 are its children, then come theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KinAction {
    /// Its worker runs it: it asks its children, or ends.
    Run(usize),
    /// It is submitted for its parent.
    Submit(usize),
    /// The ends of its children are recorded.
    Record(usize),
    /// It gets what they came to.
    Resume(usize),
    /// It is closed: nobody waits for it.
    Close(usize),
    /// The leader has done all for its children.
    Settle(usize),
    /// Somebody cancels the first intent.
    Cancel,
    /// It fails.
    Fail(usize),
    /// A process that was frozen since its parent called submits it.
    SubmitLate(usize),
    /// It is archived and purged.
    Purge(usize),
    /// The ends of its children are recorded, and the leader dies before it does what that owes.
    RecordAndDie(usize),
}

fn parent_of(place: usize) -> Option<usize> {
    place.checked_sub(1).map(|before| before / CHILDREN)
}

fn children_of(place: usize) -> std::ops::Range<usize> {
    let first = place * CHILDREN + 1;
    match first < ALL {
        true => first..first + CHILDREN,
        false => 0..0,
    }
}

impl Kin {
    pub(super) fn first(left: FamilyLeft) -> Self {
        let absent = One {
            stage: Stage::Absent,
            recorded: false,
            called: false,
            purged: false,
            settled: false,
        };
        let mut all = [absent; ALL];
        if let Some(first) = all.first_mut() {
            first.stage = Stage::Runs;
        }
        Self { all, left, wrong: None }
    }

    fn one(&self, place: usize) -> One {
        self.all.get(place).copied().unwrap_or(One {
            stage: Stage::Absent,
            recorded: false,
            called: false,
            purged: false,
            settled: true,
        })
    }

    fn change(&mut self, place: usize, change: impl FnOnce(&mut One)) {
        if let Some(one) = self.all.get_mut(place) {
            change(one);
        }
    }

    /// Writes the record that leads to a stage.
    fn write(&mut self, place: usize, stage: Stage) {
        let before = self.one(place).stage.status();
        if next(before.as_ref(), &stage.event()).ok() != stage.status() {
            self.wrong = Some(Ill::Illegal);
        }
        self.change(place, |one| one.stage = stage);
    }

    /// The ends that are recorded, and how many of these have completed.
    fn recorded(&self, parent: usize) -> (usize, usize) {
        let ends = children_of(parent)
            .map(|place| self.one(place))
            .filter(|one| one.recorded);
        let (mut ended, mut completed) = (0, 0);
        for end in ends {
            ended += 1;
            completed += usize::from(end.stage == Stage::Completed);
        }
        (ended, completed)
    }

    fn has_news(&self, parent: usize) -> bool {
        let mut children = children_of(parent).map(|place| self.one(place));
        children.any(|one| one.stage.has_ended() && !one.recorded)
    }

    fn record(&mut self, parent: usize) {
        for place in children_of(parent) {
            let has_ended = self.one(place).stage.has_ended();
            self.change(place, |one| one.recorded |= has_ended);
        }
    }

    /// Children are alike: the scene in which they stand in order.
    fn in_order(mut self) -> Self {
        let leaves = |kin: &Self, middle: usize| children_of(middle).map(|place| kin.one(place)).collect::<Vec<One>>();
        let mut families: Vec<(One, Vec<One>)> = children_of(0)
            .map(|middle| {
                let mut leaves = leaves(&self, middle);
                leaves.sort_unstable();
                (self.one(middle), leaves)
            })
            .collect();
        families.sort_unstable();
        for (middle, (one, leaves)) in children_of(0).zip(families) {
            self.change(middle, |there| *there = one);
            for (leaf, one) in children_of(middle).zip(leaves) {
                self.change(leaf, |there| *there = one);
            }
        }
        self
    }

    /// How many children have ended, recorded or not, and how many of these have completed.
    fn ended(&self, parent: usize) -> (usize, usize) {
        let stages = || children_of(parent).map(|place| self.one(place).stage);
        let completed = stages().filter(|stage| *stage == Stage::Completed);
        (stages().filter(|stage| stage.has_ended()).count(), completed.count())
    }

    pub(super) fn nobody_is_left(&self) -> bool {
        let is_left = |place: usize| {
            let parent = parent_of(place).map(|parent| self.one(parent).stage);
            self.one(place).stage.is_open() && parent.is_some_and(|parent| parent != Stage::Waits)
        };
        !(0..ALL).any(is_left)
    }

    pub(super) fn is_completed(&self) -> bool {
        self.one(0).stage == Stage::Completed
    }
}

impl Family {
    /// Whether no parent waits whose children have come to enough.
    pub(super) fn nobody_waits(&self, kin: &Kin) -> bool {
        (0..ALL).all(|place| {
            let (ended, completed) = kin.ended(place);
            kin.one(place).stage != Stage::Waits || !self.rules.is_decided(ended, completed)
        })
    }

    pub(super) fn is_quiet(&self, kin: &Kin) -> bool {
        let mut calm = Vec::new();
        self.calm(kin, &mut calm);
        // What is wrong is reported as what it is.
        calm.is_empty() && kin.wrong.is_none()
    }

    /// Whether the leader closes a child of this parent.
    fn closes(&self, parent: One, child: One) -> bool {
        let is_due = match parent.stage {
            Stage::Waits => self.rules.closes_of_waiting,
            Stage::GoesOn => self.rules.closes_of_going_on && self.broken != BrokenFamily::Stragglers,
            Stage::Absent | Stage::Runs | Stage::Completed | Stage::Failed | Stage::Cancelled | Stage::NeverBegan => {
                self.rules.closes_of_ended && self.broken != BrokenFamily::Orphans
            }
        };
        let is_closable =
            child.stage.is_open() || (child.stage == Stage::Absent && self.broken != BrokenFamily::Unburied);
        parent.called && !parent.settled && is_due && is_closable
    }

    /// Whether the leader has nothing more to do for the children of this parent.
    fn is_settled(&self, kin: &Kin, place: usize) -> bool {
        let parent = kin.one(place);
        let mut children = children_of(place).map(|child| kin.one(child));
        let ended = children.all(|child| child.stage.has_ended() || !self.closes(parent, child));
        parent.called && !parent.settled && parent.stage.has_ended() && ended
    }

    /// What happens by itself when nothing more goes wrong.
    pub(super) fn calm(&self, kin: &Kin, actions: &mut Vec<KinAction>) {
        for place in 0..ALL {
            let (one, parent) = (kin.one(place), parent_of(place).map(|parent| kin.one(parent)));
            match one.stage {
                Stage::Runs if !children_of(place).is_empty() => actions.push(KinAction::Run(place)),
                Stage::Absent if parent.is_some_and(|parent| parent.stage == Stage::Waits) => {
                    actions.push(KinAction::Submit(place));
                }
                Stage::Waits => {
                    if kin.has_news(place) {
                        actions.push(KinAction::Record(place));
                    }
                    let (ended, completed) = kin.recorded(place);
                    if self.broken != BrokenFamily::DecidedOwesNothing && self.rules.is_decided(ended, completed) {
                        actions.push(KinAction::Resume(place));
                    }
                }
                // What works may work for ever.
                Stage::Runs
                | Stage::GoesOn
                | Stage::Absent
                | Stage::Completed
                | Stage::Failed
                | Stage::Cancelled
                | Stage::NeverBegan => {}
            }
            if parent.is_some_and(|parent| self.closes(parent, one)) {
                actions.push(KinAction::Close(place));
            }
            if self.is_settled(kin, place) {
                actions.push(KinAction::Settle(place));
            }
        }
    }

    /// What ends its work, what goes wrong, and what people do.
    pub(super) fn willed(&self, kin: &Kin, actions: &mut Vec<KinAction>) {
        let left = kin.left;
        if left.cancels > 0 && kin.one(0).stage.is_open() {
            actions.push(KinAction::Cancel);
        }
        for place in 0..ALL {
            let (one, parent) = (kin.one(place), parent_of(place).map(|parent| kin.one(parent)));
            let is_leaf = children_of(place).is_empty();
            if one.stage == Stage::GoesOn || (one.stage == Stage::Runs && is_leaf) {
                actions.push(KinAction::Run(place));
            }
            if left.failures > 0 && one.stage == Stage::Runs && is_leaf {
                actions.push(KinAction::Fail(place));
            }
            let is_left_over = one.stage == Stage::Absent || one.purged;
            if left.frozen > 0 && is_left_over && parent.is_some_and(|parent| parent.called) {
                actions.push(KinAction::SubmitLate(place));
            }
            if left.purges > 0 && one.stage.has_ended() && !one.purged && is_leaf {
                actions.push(KinAction::Purge(place));
            }
            if left.crashes > 0 && one.stage == Stage::Waits && kin.has_news(place) {
                actions.push(KinAction::RecordAndDie(place));
            }
        }
    }

    /// The scene after an action.
    pub(super) fn after(&self, kin: &Kin, action: KinAction) -> Kin {
        let mut next = kin.clone();
        match action {
            KinAction::Run(place) => {
                let one = kin.one(place);
                let asks = one.stage == Stage::Runs && !children_of(place).is_empty();
                next.write(place, if asks { Stage::Waits } else { Stage::Completed });
                next.change(place, |one| one.called |= asks);
            }
            KinAction::Submit(place) => next.write(place, Stage::Runs),
            KinAction::Record(place) => {
                next.record(place);
                let (ended, completed) = next.recorded(place);
                if self.broken == BrokenFamily::DecidedOwesNothing && self.rules.is_decided(ended, completed) {
                    next.write(place, Stage::GoesOn);
                }
            }
            KinAction::Resume(place) => next.write(place, Stage::GoesOn),
            KinAction::Close(place) => {
                let is_there = kin.one(place).stage != Stage::Absent;
                next.write(place, if is_there { Stage::Cancelled } else { Stage::NeverBegan });
            }
            KinAction::Settle(place) => next.change(place, |one| one.settled = true),
            KinAction::Cancel => {
                next.left.cancels -= 1;
                next.write(0, Stage::Cancelled);
            }
            KinAction::Fail(place) => {
                next.left.failures -= 1;
                next.write(place, Stage::Failed);
            }
            KinAction::SubmitLate(place) => {
                next.left.frozen -= 1;
                match kin.one(place).purged {
                    // The ledger has no record of it: only the archive knows.
                    true if self.broken == BrokenFamily::ArchiveUnasked => next.wrong = Some(Ill::TwoLives),
                    true => {}
                    false => next.write(place, Stage::Runs),
                }
            }
            KinAction::Purge(place) => {
                next.left.purges -= 1;
                next.change(place, |one| one.purged = true);
            }
            KinAction::RecordAndDie(place) => {
                next.left.crashes -= 1;
                next.record(place);
            }
        }
        next.in_order()
    }
}
