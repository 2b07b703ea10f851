//! A network lab without root: two network namespaces, and a thread for each, in which a client
//! and a server talk over its loopback interface; at the same time, and on the same port.
//!
//! ```sh
//! cargo run --example netns_lab
//! ```

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use linux_namespaces::{Namespace, NamespaceKind, Namespaces, ProcessNamespaces, Result, unshare};

const ADDRESS: &str = "127.0.0.1:7777";

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let here = ProcessNamespaces::current()?;
    let networks = match networks() {
        // An ordinary user has the right to it in a user namespace, entered while there is but one thread.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            unshare(Namespaces::USER)?;
            networks()?
        }
        networks => networks?,
    };
    // Both listen, on the same port: these are two networks.
    let mut listeners = Vec::new();
    for network in &networks {
        listeners.push(network.run(|| TcpListener::bind(ADDRESS))??);
    }
    let heard: Vec<_> = thread::scope(|scope| {
        let pairs = networks.iter().zip(&listeners);
        let talks: Vec<_> = pairs.map(|(net, server)| scope.spawn(|| talk(net, server))).collect();
        talks.into_iter().map(|talk| talk.join().expect("no panic")).collect()
    });
    for (network, heard) in networks.iter().zip(heard) {
        println!("{}: {}", network.id()?, heard?);
    }
    let moved = ProcessNamespaces::current()?.differing_from(&here) - Namespaces::USER;
    println!(
        "moved meanwhile: {}",
        if moved.is_empty() { "nobody".into() } else { moved.to_string() }
    );
    Ok(())
}

fn networks() -> Result<[Namespace; 2]> {
    Ok([Namespace::create(NamespaceKind::Net)?, Namespace::create(NamespaceKind::Net)?])
}

/// A client in this network, and what it hears from the server there.
fn talk(network: &Namespace, server: &TcpListener) -> io::Result<String> {
    // A socket belongs to the network it was made in, wherever it is used later.
    let mut client = network.run(|| TcpStream::connect(ADDRESS))??;
    let (mut stream, _) = server.accept()?;
    write!(stream, "this is {ADDRESS}, and you are {}", stream.peer_addr()?)?;
    drop(stream);
    let mut heard = String::new();
    client.read_to_string(&mut heard)?;
    Ok(heard)
}
