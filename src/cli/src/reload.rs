//! Which files are looked at again while the server runs? Certificates and the limits of tenants: now and then, and when the
//! process gets SIGHUP. A file that has become unusable changes nothing and is told about once.

use crate::config::{Config, TlsConfig, overrides, read_bytes};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use strandline_api::{Tls, TlsFiles};
use strandline_model::TenantLimits;
use tokio::signal::unix::{SignalKind, signal};

/// How often files are looked at. They are small, and compared by their contents: modification times lie.
const INTERVAL: Duration = Duration::from_secs(5);

/// A file of limits and what it was last.
struct Overrides {
    path: PathBuf,
    limits: Arc<TenantLimits>,
    last: Option<Result<Vec<u8>, String>>,
}

/// The files of a lock and what they were last.
struct Certificates {
    config: TlsConfig,
    tls: Arc<Tls>,
    last: Result<TlsFiles, String>,
}

/// Everything that is looked at again.
pub struct Reload {
    limits: Arc<TenantLimits>,
    overrides: Option<Overrides>,
    certificates: Option<Certificates>,
}

impl Reload {
    /// Reads everything for the first time; now a fault is an error.
    pub fn begin(config: &Config) -> Result<Self, String> {
        let limits = Arc::new(TenantLimits::new(config.limits.clone()));
        let mut overrides = None;
        if let Some(path) = config.overrides_file.clone() {
            let mut file = Overrides { path, limits: Arc::clone(&limits), last: None };
            file.look()?;
            overrides = Some(file);
        }
        let mut certificates = None;
        if let Some(files) = tls_files(&config.tls) {
            let files = files?;
            let tls = Arc::new(Tls::new(&files).map_err(|e| e.to_string())?);
            certificates = Some(Certificates { config: config.tls.clone(), tls, last: Ok(files) });
        }
        Ok(Self { limits, overrides, certificates })
    }

    /// The limits that are kept up to date.
    pub fn limits(&self) -> Arc<TenantLimits> {
        Arc::clone(&self.limits)
    }

    /// The lock that is kept up to date, if there is one.
    pub fn tls(&self) -> Option<Arc<Tls>> {
        self.certificates.as_ref().map(|files| Arc::clone(&files.tls))
    }

    /// Looks at everything for as long as the runtime lives.
    pub fn keep_looking(mut self) -> io::Result<()> {
        // Even with nothing to look at: without a handler the signal would end the process.
        let mut asked = signal(SignalKind::hangup())?;
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(INTERVAL);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {}
                    _ = asked.recv() => tracing::info!("SIGHUP: certificates and limits are read again"),
                }
                let looking = tokio::task::spawn_blocking(move || {
                    self.look();
                    self
                });
                match looking.await {
                    Ok(looked) => self = looked,
                    Err(_) => {
                        tracing::error!("files are not looked at any more: reading them ended by a panic");
                        return;
                    }
                }
            }
        });
        Ok(())
    }

    fn look(&mut self) {
        if let Some(overrides) = &mut self.overrides
            && let Err(error) = overrides.look()
        {
            tracing::error!(error, "limits.overrides_file cannot be used; the limits stay as they were");
        }
        if let Some(certificates) = &mut self.certificates
            && let Err(error) = certificates.look()
        {
            tracing::error!(error, "the certificate cannot be used; the one that was stays");
        }
    }
}

impl Overrides {
    /// Takes over the file if it has changed; an error is one that was not there the last time.
    fn look(&mut self) -> Result<(), String> {
        let found = read_bytes(&self.path);
        if self.last.as_ref() == Some(&found) {
            return Ok(());
        }
        let outcome = found.clone().and_then(|bytes| {
            let text =
                String::from_utf8(bytes).map_err(|_| format!("{}: is not UTF-8", self.path.display()))?;
            overrides::parse(&text, self.limits.defaults()).map_err(|faults| all_of(&self.path, &faults))
        });
        self.last = Some(found);
        let own = outcome?;
        tracing::info!(tenants = own.len(), file = %self.path.display(), "limits of tenants are read");
        self.limits.replace(own);
        Ok(())
    }
}

fn all_of(path: &Path, faults: &[impl std::fmt::Display]) -> String {
    let lines: Vec<String> = faults.iter().map(|fault| format!("{}:{fault}", path.display())).collect();
    lines.join("\n")
}

impl Certificates {
    fn look(&mut self) -> Result<(), String> {
        let Some(found) = tls_files(&self.config) else { return Ok(()) };
        if self.last == found {
            return Ok(());
        }
        self.last = found;
        let files = self.last.as_ref().map_err(Clone::clone)?;
        self.tls.replace(files).map_err(|e| e.to_string())?;
        tracing::info!("new connections get the new certificate");
        Ok(())
    }
}

/// What the files hold, if there are any.
fn tls_files(config: &TlsConfig) -> Option<Result<TlsFiles, String>> {
    let (cert, key) = (config.cert_file.as_ref()?, config.key_file.as_ref()?);
    let read = || {
        let client_ca = config.client_ca_file.as_deref().map(read_bytes).transpose()?;
        Ok(TlsFiles { certificates: read_bytes(cert)?, key: read_bytes(key)?, client_ca })
    };
    Some(read())
}
