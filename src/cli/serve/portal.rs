//! `sealpost serve --only portal`: the portal as a process and user of its own. Opens nothing that
//! is the line's.

use std::path::Path;

use super::super::{Failure, failure};
use super::{Service, Signals, cannot_start, not_loaded, run, warn};
use crate::config::{self, Credentials};
use crate::server::logging::Logging;
use crate::server::portal::Portal;
use crate::server::{RunError, StartError};
use crate::world::clock::Clock;

pub(super) async fn serve(file: &Path) -> Result<(), Failure> {
    let clock = Clock::system();
    let credentials = Credentials::of_the_service();
    let loaded = config::load_portal(file, clock.now(), &credentials).map_err(not_loaded)?;
    let logging = Logging::start(loaded.config.log_level);
    warn(&loaded.warnings);
    let mut signals = Signals::new()?;
    let portal = Portal::start(loaded.config, credentials.clone(), clock).await;
    let portal = portal.map_err(|error| cannot_start(&StartError::Portal(error)))?;
    tracing::info!(portal = ?portal.addresses(), "ready");
    run(portal, &mut signals, &logging, clock, &credentials).await
}

impl Service for Portal {
    const STATUS: &'static str = "letting visitors in";

    async fn broken(&mut self) -> RunError {
        Self::broken(self).await
    }

    async fn is_alive(&self) -> bool {
        Self::is_alive(self)
    }

    /// If the configuration has problems the old one stays in force.
    fn reload(&mut self, logging: &Logging, clock: Clock, credentials: &Credentials) {
        let file = self.config().file.clone();
        let loaded = match config::load_portal(&file, clock.now(), credentials) {
            Ok(loaded) => loaded,
            Err(error) => {
                let error = failure::chain(&error);
                tracing::error!("not reloaded, the old configuration stays in force:\n{error}");
                return;
            }
        };
        warn(&loaded.warnings);
        let level = loaded.config.log_level;
        match Self::reload(self, loaded.config) {
            Ok(()) => {
                logging.set(level);
                tracing::info!("the configuration was reloaded");
            }
            Err(error) => {
                let error = failure::chain(&error);
                tracing::error!(%error, "not reloaded: the old configuration stays in force");
            }
        }
    }

    async fn stop(mut self) -> bool {
        let drained = self.drain().await;
        self.close().await;
        drained
    }

    async fn abandon(self) {
        Self::abandon(self).await;
    }
}
