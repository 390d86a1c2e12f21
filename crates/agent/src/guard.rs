//! What ends programs when the process that started them dies, however it dies.
//!
//! A *guard* is a small shell that reads a pipe. Its owner writes down there what it has started; the pipe closes with
//! the owner, by `kill -9` too, and the guard then ends what is still written down: SIGTERM, a grace, SIGKILL. It needs
//! nothing but `/bin/sh`, so an agent in Rust has it as well as the command.
//!
//! What it cannot reach: a program that has left its process group (`setsid`, a daemon), and whatever runs on when the
//! guard is killed together with its owner.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a program has between SIGTERM and SIGKILL.
pub const GRACE: Duration = Duration::from_secs(5);

/// What the guard runs. It forks nothing while it reads: each hop writes two lines. A target is what `kill` takes: a
/// process, or a group with a minus. `$1` is the grace in seconds.
const SCRIPT: &str = r#"
trap '' HUP INT QUIT TERM
fresh=' ' told=' '
while read -r word target; do
  case $fresh in *" $target "*) fresh="${fresh%% $target *} ${fresh#* $target }" ;; esac
  case $told in *" $target "*) told="${told%% $target *} ${told#* $target }" ;; esac
  case $word in
    watch) fresh="$fresh$target " ;;
    told) told="$told$target " ;;
  esac
done
for target in $fresh; do
  kill -TERM "$target"
  kill -CONT "$target"
done
left="$fresh$told" second=0
while :; do
  alive=
  for target in $left; do kill -0 "$target" && alive="$alive $target"; done
  left=$alive
  [ -n "$left" ] || exit 0
  [ "$second" -lt "$1" ] || break
  sleep 1
  second=$((second + 1))
done
for target in $left; do kill -KILL "$target"; done
"#;

/// Ends what was started under its watch when this process dies. Cheap to clone; the shell starts with the first watch,
/// and ends with the last clone.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    shell: Option<Shell>,
    /// Everything that is watched, and whether it was told to end: for a new shell, should this one die.
    watched: BTreeMap<String, Word>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Watch,
    Told,
    Gone,
}

impl Word {
    fn line(self, target: &str) -> String {
        let word = match self {
            Self::Watch => "watch",
            Self::Told => "told",
            Self::Gone => "gone",
        };
        format!("{word} {target}\n")
    }
}

impl Guard {
    /// Watches one process.
    ///
    /// # Errors
    /// When the guard's shell cannot be started.
    pub fn watch_process(&self, id: u32) -> io::Result<Watch> {
        self.watch(id.to_string())
    }

    /// Watches a process group.
    ///
    /// # Errors
    /// When the guard's shell cannot be started.
    pub fn watch_group(&self, id: u32) -> io::Result<Watch> {
        self.watch(format!("-{id}"))
    }

    fn watch(&self, target: String) -> io::Result<Watch> {
        self.state().say(&target, Word::Watch)?;
        Ok(Watch {
            guard: self.clone(),
            target,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something that the guard ends should this process die. Dropped without [`Watch::gone`], it stays watched.
#[derive(Debug)]
pub struct Watch {
    guard: Guard,
    target: String,
}

impl Watch {
    /// It was told to end already: the guard gives it the grace, and no second SIGTERM.
    pub fn told(&self) {
        self.say(Word::Told);
    }

    /// It has ended, so its number may soon be another's.
    pub fn gone(self) {
        self.say(Word::Gone);
    }

    fn say(&self, word: Word) {
        if let Err(error) = self.guard.state().say(&self.target, word) {
            tracing::warn!(%error, "no guard can be started: programs would outlive this process");
        }
    }
}

impl State {
    fn say(&mut self, target: &str, word: Word) -> io::Result<()> {
        match word {
            Word::Gone => drop(self.watched.remove(target)),
            Word::Watch | Word::Told => drop(self.watched.insert(target.to_owned(), word)),
        }
        if let Some(shell) = &mut self.shell
            && shell.is_alive()
            && shell.write(&word.line(target)).is_ok()
        {
            return Ok(());
        }
        // None yet, or somebody has killed or stopped it: a new one is told everything.
        self.shell = None;
        if self.watched.is_empty() {
            return Ok(());
        }
        let mut shell = Shell::start()?;
        for (target, word) in &self.watched {
            shell.write(&word.line(target))?;
        }
        self.shell = Some(shell);
        Ok(())
    }
}

#[derive(Debug)]
struct Shell {
    child: Child,
    /// Taken when it closes.
    pipe: Option<ChildStdin>,
    /// Whether it missed a line: what it knows is wrong, and it must not act on that.
    is_broken: bool,
}

impl Shell {
    fn start() -> io::Result<Self> {
        let mut child = Command::new("/bin/sh")
            .args(["-c", SCRIPT, "baton-guard", &GRACE.as_secs().to_string()])
            .stdin(Stdio::piped())
            // Whoever reads the worker's output to its end must not wait for the guard.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .current_dir("/")
            // A Ctrl-C at the terminal is for the owner.
            .process_group(0)
            .spawn()?;
        let pipe = child.stdin.take();
        if let Some(pipe) = &pipe {
            // A guard that was stopped must not stop its owner once the pipe is full.
            rustix::io::ioctl_fionbio(pipe, true)?;
        }
        Ok(Self {
            child,
            pipe,
            is_broken: false,
        })
    }

    /// Asked before each line: a process that is being started may still have a copy of the pipe's other end, and what is
    /// written after the shell's death would be lost without an error.
    fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn write(&mut self, line: &str) -> io::Result<()> {
        let Some(pipe) = &mut self.pipe else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        // Shorter than a pipe's atomic unit: it is written whole or not at all.
        let written = pipe.write_all(line.as_bytes());
        self.is_broken |= written.is_err();
        written
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if self.is_broken
            && let Err(error) = self.child.kill()
        {
            tracing::debug!(%error, "the guard had ended already");
        }
        drop(self.pipe.take());
        // Collected when it ends, if it is at once; else init does it, since the guard outlives this process.
        if let Err(error) = self.child.try_wait() {
            tracing::debug!(%error, "the guard cannot be collected");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use tokio::time::Instant;

    use super::*;

    fn sleeper(script: &str) -> Child {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]).process_group(0).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a shell");
        // Once it has written, its traps are set.
        std::io::Read::read_exact(child.stdout.as_mut().expect("a pipe"), &mut [0]).expect("a byte");
        child
    }

    fn ended(mut child: Child, within: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + within;
        while Instant::now() < until {
            if let Some(status) = child.try_wait().expect("a status") {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().expect("killed");
        child.wait().expect("collected");
        None
    }

    #[test]
    fn what_is_watched_ends_with_the_owner_and_what_is_gone_is_left_alone() {
        let guard = Guard::default();
        let watched = sleeper("echo; exec sleep 600");
        let other = sleeper("echo; exec sleep 600");
        let first = guard.watch_group(watched.id()).expect("watched");
        guard.watch_group(other.id()).expect("watched").gone();
        drop((first, guard));
        let status = ended(watched, Duration::from_secs(20)).expect("the guard ends it");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));
        assert_eq!(ended(other, Duration::from_millis(300)), None);
    }

    #[test]
    fn what_does_not_listen_is_killed_after_the_grace() {
        let guard = Guard::default();
        let deaf = sleeper("trap '' TERM; echo; while :; do sleep 1; done");
        drop(guard.watch_group(deaf.id()).expect("watched"));
        let started = Instant::now();
        drop(guard);
        let status = ended(deaf, Duration::from_secs(30)).expect("the guard ends it");
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
        assert!(started.elapsed() >= GRACE.saturating_sub(Duration::from_millis(500)));
    }

    #[test]
    fn a_guard_that_died_is_replaced_by_one_that_knows_everything() {
        let guard = Guard::default();
        let (early, late) = (sleeper("echo; exec sleep 600"), sleeper("echo; exec sleep 600"));
        drop(guard.watch_group(early.id()).expect("watched"));
        {
            let mut state = guard.state();
            let shell = state.shell.as_mut().expect("a shell");
            shell.child.kill().expect("killed");
            shell.child.wait().expect("collected");
        }
        drop(guard.watch_group(late.id()).expect("watched"));
        drop(guard);
        assert!(ended(early, Duration::from_secs(20)).is_some());
        assert!(ended(late, Duration::from_secs(20)).is_some());
    }
}
