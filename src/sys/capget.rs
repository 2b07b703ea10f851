//! capget(2).

/// The effective capabilities of the calling thread, in its own user namespace; none where they cannot be read.
pub(crate) fn effective_capabilities() -> u64 {
    /// `_LINUX_CAPABILITY_VERSION_3`, and 0 for the calling thread.
    #[repr(C)]
    struct Header {
        version: u32,
        pid: i32,
    }
    #[repr(C)]
    #[derive(Clone, Copy, Default)]
    struct Data {
        effective: u32,
        permitted: u32,
        inheritable: u32,
    }
    let mut header = Header { version: 0x2008_0522, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 fills two `Data`; glibc has no declaration for it.
    if unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) } != 0 {
        return 0;
    }
    u64::from(data[0].effective) | u64::from(data[1].effective) << 32
}
