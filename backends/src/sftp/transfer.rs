//! Many requests in flight for one file, in both directions.

use std::ops::Range;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;

use super::errors::Failed;
use super::session::{Handle, Session};
use crate::limit::Pace;
use crate::{Error, ErrorKind, Result};

/// Requests of one file at a time. OpenSSH takes 2 MiB on a channel before it has worked some off; more
/// than that waits here, so that it never runs dry.
const IN_FLIGHT: usize = 96;

/// Writes a body from the beginning of a new file.
pub(super) async fn write(
    session: &Session,
    file: &Handle<'_>,
    body: &[u8],
    pace: &Pace,
) -> Result<(), Failed> {
    let mut chunks = body.chunks(session.offers.chunk);
    let mut offset = 0;
    let mut flying = FuturesUnordered::new();
    loop {
        while flying.len() < IN_FLIGHT
            && let Some(chunk) = chunks.next()
        {
            let at = offset;
            offset += chunk.len() as u64;
            flying.push(async move {
                pace.wait_async(chunk.len() as u64).await;
                session.write(file, at, chunk).await
            });
        }
        match flying.next().await {
            Some(written) => written?,
            None => return Ok(()),
        }
    }
}

/// Reads a range of a file that is at least so long.
pub(super) async fn read(
    session: &Session,
    file: &Handle<'_>,
    range: Range<u64>,
    pace: &Pace,
) -> Result<Vec<u8>> {
    let len = usize::try_from(range.end - range.start).map_err(|_| too_large())?;
    let mut body = Vec::new();
    body.try_reserve_exact(len).map_err(|_| too_large())?;
    body.resize(len, 0);
    let mut places = body.chunks_mut(session.offers.chunk);
    let mut offset = range.start;
    let mut flying = FuturesUnordered::new();
    loop {
        while flying.len() < IN_FLIGHT
            && let Some(place) = places.next()
        {
            let at = offset;
            offset += place.len() as u64;
            flying.push(async move {
                pace.wait_async(place.len() as u64).await;
                fill(session, file, at, place).await
            });
        }
        match flying.next().await {
            Some(filled) => filled?,
            None => break,
        }
    }
    drop(flying);
    Ok(body)
}

/// Reads until a part is full: a server may give less than it was asked for.
async fn fill(
    session: &Session,
    file: &Handle<'_>,
    mut offset: u64,
    mut place: &mut [u8],
) -> Result<()> {
    while !place.is_empty() {
        let wanted = u32::try_from(place.len()).unwrap_or(u32::MAX);
        let bytes = session.read(file, offset, wanted).await;
        let bytes = bytes.map_err(|failed| failed.into_error("reading"))?;
        if bytes.is_empty() || bytes.len() > place.len() {
            return Err(Error::new(ErrorKind::Other)
                .with_source("the server gives another number of bytes than it says there are"));
        }
        let (now, later) = place.split_at_mut(bytes.len());
        now.copy_from_slice(&bytes);
        offset += bytes.len() as u64;
        place = later;
    }
    Ok(())
}

fn too_large() -> Error {
    Error::new(ErrorKind::Other).with_source("more than fits into memory")
}
