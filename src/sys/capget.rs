//! capget(2).

/// Capabilities of the calling thread, in its own user namespace; none where they cannot be read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
}

pub(crate) fn capabilities() -> Capabilities {
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
        return Capabilities::default();
    }
    let [low, high] = data;
    Capabilities {
        effective: u64::from(low.effective) | u64::from(high.effective) << 32,
        permitted: u64::from(low.permitted) | u64::from(high.permitted) << 32,
    }
}
