//! Connections to the servers themselves: which one, and with TLS where it is wanted.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::rustls::pki_types::pem::PemObject as _;
use async_nats::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use async_nats::rustls::{ClientConfig, RootCertStore};
use rand::seq::SliceRandom as _;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long one server may take to answer before the next is tried: less than the client's own patience.
const DIAL_PATIENCE: Duration = Duration::from_secs(4);
/// The longest first line of a server.
const LONGEST_INFO: usize = 1 << 20;

/// A connection to a server, with or without TLS.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection, and what was read from it before it was given on.
pub(super) struct Upstream {
    pub(super) wire: Box<dyn Wire>,
    pub(super) read: Vec<u8>,
}

/// What the certificates of a connection are, and how TLS begins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether TLS begins before the server has said anything.
    pub first: bool,
    /// A file with certificates of authorities, in place of the platform's.
    pub ca: Option<PathBuf>,
    /// The files with the certificate that this side shows, and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// The servers that may be connected to.
#[derive(Debug)]
pub(super) struct Servers {
    known: Mutex<Vec<Known>>,
    tls: Tls,
}

#[derive(Debug, Clone)]
struct Known {
    address: ServerAddr,
    is_discovered: bool,
    failed: u32,
}

impl Servers {
    /// # Errors
    /// When an address cannot be read.
    pub(super) fn parse(url: &str, tls: Tls) -> io::Result<Self> {
        let known = url
            .split(',')
            .map(|address| {
                Ok(Known {
                    address: address.trim().parse()?,
                    is_discovered: false,
                    failed: 0,
                })
            })
            .collect::<io::Result<_>>()?;
        Ok(Self {
            known: Mutex::new(known),
            tls,
        })
    }

    /// Takes over which other servers there are.
    pub(super) fn discovered(&self, urls: &[String]) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for address in urls.iter().filter_map(|url| url.parse::<ServerAddr>().ok()) {
            if !known.iter().any(|there| there.address == address) {
                known.push(Known {
                    address,
                    is_discovered: true,
                    failed: 0,
                });
            }
        }
    }

    /// Connects to one of the servers, those first that have failed least.
    pub(super) async fn dial(&self) -> io::Result<Upstream> {
        let mut candidates = self.known.lock().unwrap_or_else(PoisonError::into_inner).clone();
        candidates.shuffle(&mut rand::rng());
        candidates.sort_by_key(|server| server.failed);
        let mut last = None;
        for server in candidates {
            let dialled = tokio::time::timeout(DIAL_PATIENCE, self.dial_one(&server.address)).await;
            let dialled = dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
            self.note(&server, dialled.is_ok());
            match dialled {
                Ok(upstream) => return Ok(upstream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| io::Error::other("there is no address of a server")))
    }

    fn note(&self, tried: &Known, succeeded: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(there) = known.iter_mut().find(|there| there.address == tried.address) {
            there.failed = if succeeded { 0 } else { there.failed.saturating_add(1) };
        }
        // A member that has left the cluster does not come back under its address.
        known.retain(|there| !there.is_discovered || there.failed < 20);
    }

    async fn dial_one(&self, address: &ServerAddr) -> io::Result<Upstream> {
        let mut tcp = TcpStream::connect((address.host(), address.port())).await?;
        tcp.set_nodelay(true)?;
        if self.tls.first {
            let wire = self.secure(tcp, address).await?;
            return Ok(Upstream { wire, read: Vec::new() });
        }
        let read = first_line(&mut tcp).await?;
        let wants_tls = address.tls_required() || self.tls.own.is_some() || requires_tls(&read);
        let wire: Box<dyn Wire> = if wants_tls {
            self.secure(tcp, address).await?
        } else {
            Box::new(tcp)
        };
        Ok(Upstream { wire, read })
    }

    async fn secure(&self, tcp: TcpStream, address: &ServerAddr) -> io::Result<Box<dyn Wire>> {
        let config = Arc::new(self.tls.config()?);
        let name = ServerName::try_from(address.host().to_owned()).map_err(io::Error::other)?;
        Ok(Box::new(TlsConnector::from(config).connect(name, tcp).await?))
    }
}

impl Tls {
    fn config(&self) -> io::Result<ClientConfig> {
        let mut roots = RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                for certificate in certificates(path)? {
                    roots.add(certificate).map_err(|error| named(path, &error))?;
                }
            }
            None => {
                let native = rustls_native_certs::load_native_certs();
                if let (true, Some(error)) = (native.certs.is_empty(), native.errors.first()) {
                    return Err(io::Error::other(format!("the platform's certificates: {error}")));
                }
                roots.add_parsable_certificates(native.certs);
            }
        }
        let config = ClientConfig::builder().with_root_certificates(roots);
        match &self.own {
            None => Ok(config.with_no_client_auth()),
            Some((certificate, key)) => {
                let private = PrivateKeyDer::from_pem_file(key).map_err(|error| named(key, &error))?;
                config
                    .with_client_auth_cert(certificates(certificate)?, private)
                    .map_err(|error| named(certificate, &error))
            }
        }
    }
}

fn certificates(path: &Path) -> io::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| named(path, &error))
}

fn named(path: &Path, error: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("{}: {error}", path.display()))
}

/// The line with which a server greets. It says nothing more until it is answered, so nothing after it is read.
async fn first_line(tcp: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        if tcp.read_buf(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.len() > LONGEST_INFO {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "this is no nats-server"));
        }
    }
    Ok(line)
}

fn requires_tls(line: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Info {
        #[serde(default)]
        tls_required: bool,
    }
    line.strip_prefix(b"INFO ")
        .and_then(|document| serde_json::from_slice::<Info>(document.trim_ascii()).ok())
        .is_some_and(|info| info.tls_required)
}
