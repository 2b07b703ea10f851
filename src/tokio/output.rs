//! Reading both streams to their ends.
#![forbid(unsafe_code)]

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::tokio::io::{AsyncRead as _, ReadBuf};
use ::tokio::net::unix::pipe::Receiver;

/// What a pipe holds.
const CHUNK: usize = 64 * 1024;

/// Reads both, whichever has something: a program that fills one of two pipes would wait for ever for a reader of the other.
pub(super) async fn read_both(
    stdout: Option<Receiver>,
    stderr: Option<Receiver>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let mut stdout = Reading { stream: stdout, data: Vec::new() };
    let mut stderr = Reading { stream: stderr, data: Vec::new() };
    if stdout.stream.is_some() || stderr.stream.is_some() {
        let mut chunk = vec![0; CHUNK];
        poll_fn(|context| read_on(&mut stdout, &mut stderr, &mut chunk, context)).await?;
    }
    Ok((stdout.data, stderr.data))
}

/// In turns, so that the one does not keep the other waiting.
fn read_on(
    stdout: &mut Reading,
    stderr: &mut Reading,
    chunk: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let waits = [stdout.read(chunk, context)?, stderr.read(chunk, context)?];
        if stdout.stream.is_none() && stderr.stream.is_none() {
            return Poll::Ready(Ok(()));
        }
        if waits.iter().all(Poll::is_pending) {
            return Poll::Pending;
        }
    }
}

struct Reading {
    /// `None`: it has ended.
    stream: Option<Receiver>,
    data: Vec<u8>,
}

impl Reading {
    /// One chunk. Pending: there is nothing to be read now, or never again.
    fn read(&mut self, chunk: &mut [u8], context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(stream) = &mut self.stream else { return Poll::Pending };
        let mut buffer = ReadBuf::new(chunk);
        std::task::ready!(Pin::new(stream).poll_read(context, &mut buffer))?;
        match buffer.filled() {
            [] => self.stream = None,
            filled => self.data.extend_from_slice(filled),
        }
        Poll::Ready(Ok(()))
    }
}
