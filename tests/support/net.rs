//! A network in memory: addresses at which something answers, refuses, or swallows.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use sealpost::world::BoxFuture;
use sealpost::world::net::{Network, Stream};
use tokio::io::DuplexStream;

/// Octets under way in each direction.
const PIPE_OCTETS: usize = 16 * 1024;

/// What happens at an address.
#[derive(Clone)]
pub enum Place {
    /// Connections are given to this.
    Server(Arc<dyn Fn(DuplexStream) + Send + Sync>),
    /// SYNs are swallowed.
    BlackHole,
}

/// Addresses without a place refuse connections.
#[derive(Default)]
pub struct FakeNetwork {
    places: Mutex<HashMap<SocketAddr, Place>>,
    dialled: Mutex<Vec<(SocketAddr, Option<IpAddr>)>>,
}

impl FakeNetwork {
    pub fn place(&self, address: &str, place: Place) {
        let address = address.parse().unwrap();
        self.places.lock().unwrap().insert(address, place);
    }

    /// Every connection that was tried.
    pub fn dialled(&self) -> Vec<(SocketAddr, Option<IpAddr>)> {
        self.dialled.lock().unwrap().clone()
    }
}

impl Network for FakeNetwork {
    fn connect<'a>(
        &'a self,
        peer: SocketAddr,
        source: Option<IpAddr>,
    ) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            self.dialled.lock().unwrap().push((peer, source));
            let place = self.places.lock().unwrap().get(&peer).cloned();
            match place {
                Some(Place::Server(serve)) => {
                    let (ours, theirs) = tokio::io::duplex(PIPE_OCTETS);
                    serve(theirs);
                    Ok(Box::new(ours) as Box<dyn Stream>)
                }
                Some(Place::BlackHole) => std::future::pending().await,
                None => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
            }
        })
    }
}
