//! socket(7) and netdevice(7): which net namespace a socket belongs to.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

const SIOCGSKNS: libc::Ioctl = 0x894c;

/// 71 nearly everywhere; two architectures number these options in their own way.
const SO_NETNS_COOKIE: libc::c_int =
    if cfg!(target_arch = "sparc64") || cfg!(target_arch = "sparc") { 0x0050 } else { 71 };

/// `SO_NETNS_COOKIE` (Linux 5.14): a number that no other net namespace gets. ENOTSOCK for what is no socket,
/// ENOPROTOOPT on older kernels. It takes no rights.
pub(crate) fn net_cookie(socket: BorrowedFd<'_>) -> io::Result<u64> {
    let mut cookie = 0u64;
    let mut length = size_of::<u64>() as libc::socklen_t;
    // SAFETY: an integer to fill, with its size.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(cookie)
}

/// `SIOCGSKNS` (Linux 4.10): a new descriptor of the socket's net namespace. EPERM without CAP_NET_ADMIN over that. The
/// caller knows that it is a socket, since other files may take the number for something else.
pub(crate) fn net_namespace(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: a request without an argument.
    let fd = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCGSKNS, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the request gives a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn sockets_of_one_namespace_have_one_cookie() {
        let (a, b) = UnixDatagram::pair().unwrap();
        match (net_cookie(a.as_fd()), net_cookie(b.as_fd())) {
            (Ok(a), Ok(b)) => assert_eq!(a, b),
            // Before Linux 5.14.
            (a, _) => assert_eq!(a.unwrap_err().raw_os_error(), Some(libc::ENOPROTOOPT)),
        }
    }

    #[test]
    fn what_is_no_socket_is_told_apart() {
        let file = File::open("/dev/null").unwrap();
        assert_eq!(net_cookie(file.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTSOCK));
    }
}
