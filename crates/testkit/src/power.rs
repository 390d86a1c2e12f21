//! A disk whose power can be cut: an ext4 file system in a file, of which at a moment nothing is left but what had reached
//! the file. What a server wrote and did not sync is still in the page cache then, and is gone.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_embedded::ManagedChild;
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

/// Time the file system gets to come up.
const START: Duration = Duration::from_secs(20);

/// A file system in a file, which a server of [`ServerBuilder::binary`](crate::ServerBuilder::binary) can be put on.
///
/// It is mounted in a mount namespace of its own, so nothing is left behind whatever becomes of the test. That takes root:
/// no platform lets others mount ext4.
///
/// Dropped, it and everything on it is gone; the server must have ended before.
#[derive(Debug)]
pub struct PowerDisk {
    /// Keeps the namespace, and so the mount, while servers come and go.
    holder: ManagedChild,
    dir: TempDir,
    server: PathBuf,
    binary: PathBuf,
}

/// A copy of the store, on an ordinary file system, for a server of its own.
#[derive(Debug)]
pub struct StoreCopy {
    /// Removed with this.
    _dir: TempDir,
    binary: PathBuf,
}

impl StoreCopy {
    /// The executable that runs a server on this copy.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }
}

impl PowerDisk {
    /// Makes a disk of so many megabytes for `server` (the path of a `nats-server`).
    ///
    /// # Errors
    /// When the platform refuses: not root, no loop devices, no `mkfs.ext4`, `unshare` or `nsenter`.
    pub async fn new(server: &Path, megabytes: u32) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("baton-power-").tempdir()?;
        let (image, mount, up) = (dir.path().join("image"), dir.path().join("disk"), dir.path().join("up"));
        fs::create_dir(&mount)?;
        fs::File::create(&image)?.set_len(u64::from(megabytes) * 1024 * 1024)?;
        let mut format = Command::new("mkfs.ext4");
        // All of it at once: the kernel would go on with it in the background otherwise, amid the test.
        format
            .args(["-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&image);
        run(format).await?;
        let script = r#"sync "$1" && mount -o loop,noatime "$1" "$2" && : > "$3" && exec sleep infinity"#;
        let mut command = Command::new("unshare");
        command
            .args(["-m", "--propagation", "private", "sh", "-c", script, "sh"])
            .args([&image, &mount, &up])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut holder = ManagedChild::spawn(&mut command)?;
        let mut waited = Duration::ZERO;
        while !up.exists() {
            if holder.try_wait()?.is_some() || waited > START {
                return Err(io::Error::other(
                    "no ext4 can be mounted here: that takes root and a loop device",
                ));
            }
            let pause = Duration::from_millis(10);
            sleep(pause).await;
            waited += pause;
        }
        let binary = dir.path().join("nats-server");
        let enter = format!("nsenter -t {} -m ", holder.pid());
        wrap(&binary, &enter, &mount, server)?;
        let server = server.to_owned();
        Ok(Self {
            holder,
            dir,
            server,
            binary,
        })
    }

    /// The executable that runs the server with its store on this disk.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Cuts the power. The server must have been killed just before.
    ///
    /// The image is copied while nothing is written to it (the counters of the loop device say so), the copy takes its
    /// place, and is mounted: the file system replays its journal, as after any power cut. A write that the device had
    /// completed counts as kept: a disk that loses what it acknowledged itself is not played.
    ///
    /// # Errors
    /// When a command fails, or the device is never quiet.
    pub async fn cut(&self) -> io::Result<()> {
        let script = r#"
            set -e
            device=$(losetup -n -O NAME -j "$1/image")
            counters=/sys/class/block/${device##*/}/stat
            tries=0
            while :; do
                before=$(cat "$counters")
                cp --sparse=always "$1/image" "$1/cut"
                # The ninth counter is what is under way.
                set -- "$1" $before
                [ "${10}" = 0 ] && [ "$before" = "$(cat "$counters")" ] && break
                tries=$((tries + 1))
                [ $tries -lt 50 ] || { echo "the device is never quiet" >&2; exit 1; }
            done
            # What is written back now goes to the image that is thrown away.
            umount "$1/disk"
            mv "$1/cut" "$1/image"
            mount -o loop,noatime "$1/image" "$1/disk"
        "#;
        self.inside(script, &[self.dir.path()]).await
    }

    /// Brings everything that was written to the disk, as a kernel does by itself within half a minute.
    ///
    /// # Errors
    /// When a command fails.
    pub async fn settle(&self) -> io::Result<()> {
        self.inside(r#"sync -f "$1""#, &[&self.dir.path().join("disk")]).await
    }

    /// Copies the store as the file system shows it now: before [`cut`](Self::cut) with all that was written, as after a
    /// crash of the server alone; after it with what is left.
    ///
    /// # Errors
    /// When a command fails.
    pub async fn copy(&self) -> io::Result<StoreCopy> {
        let dir = tempfile::Builder::new().prefix("baton-store-").tempdir()?;
        let store = dir.path().join("store");
        let mount = self.dir.path().join("disk");
        self.inside(r#"cp -a "$1" "$2""#, &[&mount, &store]).await?;
        let binary = dir.path().join("nats-server");
        wrap(&binary, "", &store, &self.server)?;
        Ok(StoreCopy { _dir: dir, binary })
    }

    async fn inside(&self, script: &str, args: &[&Path]) -> io::Result<()> {
        let mut command = Command::new("nsenter");
        command
            .args(["-t", &self.holder.pid().to_string(), "-m", "sh", "-c", script, "sh"])
            .args(args);
        run(command).await
    }
}

/// A script that runs the server with its store in this folder. The server's own folder stays where it is, with its
/// configuration and log.
fn wrap(binary: &Path, enter: &str, store: &Path, server: &Path) -> io::Result<()> {
    let script = format!(
        "#!/bin/sh\n# -c <folder>/nats-server.conf\nln -sfn \"{}\" \"$(dirname \"$2\")/jetstream\"\nexec {enter}\"{}\" \"$@\"\n",
        store.display(),
        server.display(),
    );
    fs::write(binary, script)?;
    fs::set_permissions(binary, fs::Permissions::from_mode(0o755))
}

async fn run(mut command: Command) -> io::Result<()> {
    let ended = spawn_blocking(move || {
        let program = command.get_program().to_owned();
        let output = command.stdin(Stdio::null()).output()?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(io::Error::other(format!("{}: {}", program.display(), said.trim())))
    });
    ended.await.map_err(io::Error::other)?
}
