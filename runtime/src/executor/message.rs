//! Messages between the runtime and the processes that work for it, over sequenced-packet sockets.
//!
//! A message is one packet: a byte that says where its body is, then the body or, for a large one, a descriptor of memory that holds it.
//! Descriptors travel along. A socket that is closed at the other end is how either side learns that the other is gone.

use super::system;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Bodies up to this size travel in the packet itself; the smallest socket buffer holds several.
const INLINE: usize = 32 * 1024;
/// Descriptors in one message, at most.
const DESCRIPTORS: usize = 8;

const BODY_INLINE: u8 = 0;
const BODY_IN_MEMORY: u8 = 1;

/// Two connected sockets, closed on exec.
pub(super) fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Sends a message with descriptors. Waits while the socket's buffer is full.
pub(super) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    Packet::new(message)?.send(socket, descriptors)
}

/// Receives a message with its descriptors; none when the other end is closed.
pub(super) fn receive<M: DeserializeOwned>(
    socket: BorrowedFd<'_>,
) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; INLINE + 1];
    let (length, mut descriptors) = receive_packet(socket, &mut bytes)?;
    let Some((&place, inline)) = bytes[..length].split_first() else {
        return Ok(None);
    };
    let message = match place {
        BODY_INLINE => decode(inline)?,
        BODY_IN_MEMORY if !descriptors.is_empty() => {
            let mut memory = File::from(descriptors.remove(0));
            let mut body = Vec::new();
            memory.rewind()?;
            memory.read_to_end(&mut body)?;
            decode(&body)?
        }
        _ => return Err(io::Error::other("a message of an unknown form")),
    };
    Ok(Some((message, descriptors)))
}

fn decode<M: DeserializeOwned>(body: &[u8]) -> io::Result<M> {
    postcard::from_bytes(body).map_err(io::Error::other)
}

fn receive_packet(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS]);
    let mut parts = [IoSliceMut::new(bytes)];
    let packet = loop {
        match recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            MsgFlags::MSG_CMSG_CLOEXEC,
        ) {
            // The latter is told once if the other end was closed with a message of ours unread; what it had sent before is still to come.
            Err(nix::Error::EINTR | nix::Error::ECONNRESET) => continue,
            result => break result?,
        }
    };
    let mut descriptors = Vec::new();
    for control in packet.cmsgs()? {
        if let ControlMessageOwned::ScmRights(numbers) = control {
            descriptors.extend(numbers.into_iter().map(system::own));
        }
    }
    Ok((packet.bytes, descriptors))
}

/// A message ready to be sent.
struct Packet {
    bytes: Vec<u8>,
    memory: Option<OwnedFd>,
}

impl Packet {
    fn new(message: &impl Serialize) -> io::Result<Self> {
        let mut bytes = vec![BODY_INLINE];
        bytes = postcard::to_extend(message, bytes).map_err(io::Error::other)?;
        if bytes.len() <= INLINE {
            return Ok(Self {
                bytes,
                memory: None,
            });
        }
        let mut memory = File::from(memfd_create("message", MFdFlags::MFD_CLOEXEC)?);
        memory.write_all(&bytes[1..])?;
        Ok(Self {
            bytes: vec![BODY_IN_MEMORY],
            memory: Some(memory.into()),
        })
    }

    fn send(&self, socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        let numbers: Vec<RawFd> = self
            .memory
            .iter()
            .map(AsFd::as_fd)
            .chain(descriptors.iter().copied())
            .map(|descriptor| descriptor.as_raw_fd())
            .collect();
        let rights = [ControlMessage::ScmRights(&numbers)];
        let control = if numbers.is_empty() { &[] } else { &rights[..] };
        loop {
            match sendmsg::<()>(
                socket.as_raw_fd(),
                &[IoSlice::new(&self.bytes)],
                control,
                MsgFlags::MSG_NOSIGNAL,
                None,
            ) {
                Err(nix::Error::EINTR) => continue,
                result => return Ok(result.map(drop)?),
            }
        }
    }
}

/// The runtime's end of a socket, for its asynchronous side.
#[derive(Debug)]
pub(super) struct Channel(AsyncFd<OwnedFd>);

impl Channel {
    /// Takes one end of a [`pair`]. Needs a tokio runtime around it.
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&socket, FcntlArg::F_GETFL)?);
        fcntl(&socket, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        Ok(Self(system::watch(socket)?))
    }

    /// Sends a message with descriptors.
    pub(super) async fn send(
        &self,
        message: &impl Serialize,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let packet = Packet::new(message)?;
        self.0
            .async_io(Interest::WRITABLE, |socket| {
                packet.send(socket.as_fd(), descriptors)
            })
            .await
    }

    /// Sends a message if the socket takes it at once: for places that cannot wait.
    pub(super) fn try_send(&self, message: &impl Serialize) -> io::Result<()> {
        Packet::new(message)?.send(self.0.get_ref().as_fd(), &[])
    }

    /// Receives a message with its descriptors; none when the other end is closed. Nothing is lost if the wait is given up.
    pub(super) async fn receive<M: DeserializeOwned>(
        &self,
    ) -> io::Result<Option<(M, Vec<OwnedFd>)>> {
        self.0
            .async_io(Interest::READABLE, |socket| receive(socket.as_fd()))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_of_any_size_arrives_whole_with_its_descriptors() {
        for size in [0, 1, INLINE - 1, INLINE, INLINE + 1, 3 << 20] {
            let (here, there) = pair().unwrap();
            let body = vec![7u8; size];
            send(here.as_fd(), &body, &[here.as_fd()]).unwrap();
            let (received, descriptors) = receive::<Vec<u8>>(there.as_fd()).unwrap().unwrap();
            assert!(received == body);
            assert_eq!(descriptors.len(), 1);
        }
    }

    #[test]
    fn a_closed_end_reads_as_nothing() {
        let (here, there) = pair().unwrap();
        drop(here);
        assert!(receive::<u8>(there.as_fd()).unwrap().is_none());
    }
}
