//! netdevice(7): the loopback interface. The caller's part, and what may run between clone and exec.

use std::ffi::c_int;
use std::io;

use super::syscall::{Errno, syscall};

/// Brings up the interface `lo` of the network namespace that the calling thread is in.
pub(crate) fn loopback_up() -> io::Result<()> {
    loopback().map_err(|errno| io::Error::from_raw_os_error(errno.0))
}

/// netdevice(7). Any socket will do for the request, so where there is no IPv4 a local one.
pub(super) fn loopback() -> Result<(), Errno> {
    let call = |number, args| {
        // SAFETY: numbers, and the address of the request on this frame; what is closed was made here.
        unsafe { syscall(number, args) }
    };
    let socket = |domain: c_int| {
        call(
            libc::SYS_socket,
            [domain as usize, (libc::SOCK_DGRAM | libc::SOCK_CLOEXEC) as usize, 0, 0, 0, 0],
        )
    };
    let socket = socket(libc::AF_INET).or_else(|_| socket(libc::AF_UNIX))?;
    /// The part of `ifreq` that these requests use, and room for the rest.
    #[repr(C)]
    struct Request {
        name: [u8; libc::IFNAMSIZ],
        flags: libc::c_short,
        rest: [u64; 3],
    }
    let mut request = Request { name: *b"lo\0\0\0\0\0\0\0\0\0\0\0\0\0\0", flags: 0, rest: [0; 3] };
    let address = (&raw mut request).expose_provenance();
    let result = call(libc::SYS_ioctl, [socket, libc::SIOCGIFFLAGS as usize, address, 0, 0, 0])
        .and_then(|_| {
            request.flags |= libc::IFF_UP as libc::c_short;
            call(libc::SYS_ioctl, [socket, libc::SIOCSIFFLAGS as usize, address, 0, 0, 0])
        });
    let _ = call(libc::SYS_close, [socket, 0, 0, 0, 0, 0]);
    result.map(drop)
}
