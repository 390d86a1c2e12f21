//! A small disk of one's own: a tmpfs in a user namespace, which needs no privileges where the platform allows it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use baton_embedded::ManagedChild;
use tempfile::TempDir;
use tokio::time::sleep;

/// Time the namespace gets to come up.
const START: Duration = Duration::from_secs(10);

/// A small disk, which a server of [`ServerBuilder::binary`](crate::ServerBuilder::binary) can be put on.
///
/// Dropped, it and everything on it is gone; the server must have ended before.
#[derive(Debug)]
pub struct SmallDisk {
    /// Keeps the namespace, and so the disk, while servers come and go.
    holder: ManagedChild,
    dir: TempDir,
    binary: PathBuf,
}

impl SmallDisk {
    /// Makes a disk of so many megabytes for `server` (the path of a `nats-server`).
    ///
    /// # Errors
    /// When the platform refuses: no `unshare` or `nsenter`, or no unprivileged user namespaces.
    pub async fn new(server: &Path, megabytes: u32) -> io::Result<Self> {
        let dir = tempfile::Builder::new().prefix("baton-disk-").tempdir()?;
        let (mount, up) = (dir.path().join("disk"), dir.path().join("up"));
        fs::create_dir(&mount)?;
        let script = r#"mount -t tmpfs -o size="$1"m tmpfs "$2" && : > "$3" && exec sleep infinity"#;
        let mut command = Command::new("unshare");
        command
            .args(["-Urm", "sh", "-c", script, "sh"])
            .arg(megabytes.to_string())
            .args([&mount, &up])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut holder = ManagedChild::spawn(&mut command)?;
        let mut waited = Duration::ZERO;
        while !up.exists() {
            if holder.try_wait()?.is_some() || waited > START {
                return Err(io::Error::other(
                    "no file system can be mounted in a namespace of one's own here",
                ));
            }
            let pause = Duration::from_millis(10);
            sleep(pause).await;
            waited += pause;
        }
        // The server's own folder stays where it is, with its configuration and log; only the store is on the disk.
        let binary = dir.path().join("nats-server");
        let wrapper = format!(
            "#!/bin/sh\n# -c <folder>/nats-server.conf\nfolder=$(dirname \"$2\")\nmkdir -p \"$folder/jetstream\"\n\
             exec nsenter -t {} -U -m --preserve-credentials sh -c \
             'mountpoint -q \"$1\" || mount --bind \"$0\" \"$1\" || exit 1; shift; exec \"$@\"' \
             \"{}\" \"$folder/jetstream\" \"{}\" \"$@\"\n",
            holder.pid(),
            mount.display(),
            server.display(),
        );
        fs::write(&binary, wrapper)?;
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755))?;
        Ok(Self { holder, dir, binary })
    }

    /// The executable that runs the server with its store on this disk.
    #[must_use]
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// Writes until there is no room left.
    ///
    /// # Errors
    /// When it cannot be written to at all.
    pub fn fill(&self) -> io::Result<()> {
        let mut file = fs::File::options().create(true).append(true).open(self.filler())?;
        let mut part: &[u8] = &[0; 64 * 1024];
        loop {
            match file.write(part) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                // The last gap is filled as well.
                Err(error) if error.kind() == io::ErrorKind::StorageFull && part.len() > 1 => {
                    part = part.get(..part.len() / 2).unwrap_or_default();
                }
                Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Gives the room back.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub fn free(&self) -> io::Result<()> {
        match fs::remove_file(self.filler()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// As seen from outside of the namespace.
    fn filler(&self) -> PathBuf {
        let mount = self.dir.path().join("disk");
        let inside = mount.strip_prefix("/").unwrap_or(&mount);
        PathBuf::from(format!("/proc/{}/root", self.holder.pid()))
            .join(inside)
            .join("filler")
    }
}
