//! capget(2), and what prctl(2) tells of the bounding set.

use super::prctl::prctl;
use super::syscall::{Errno, syscall};

/// Capabilities of the calling thread, in its own user namespace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Capabilities {
    pub(crate) effective: u64,
    pub(crate) permitted: u64,
    pub(crate) inheritable: u64,
}

/// `cap_user_header_t` of `_LINUX_CAPABILITY_VERSION_3`, for the calling thread.
#[repr(C)]
pub(super) struct Header {
    version: u32,
    pid: i32,
}

impl Header {
    pub(super) const OWN: Self = Self { version: 0x2008_0522, pid: 0 };
}

/// `cap_user_data_t`: in version 3 there are two, for the lower and the upper half of the bits.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(super) struct Data {
    pub(super) effective: u32,
    pub(super) permitted: u32,
    pub(super) inheritable: u32,
}

/// Of the calling thread; none where they cannot be read.
pub(crate) fn capabilities() -> Capabilities {
    get().unwrap_or_default()
}

/// May run between clone and exec.
pub(super) fn get() -> Result<Capabilities, Errno> {
    let mut header = Header::OWN;
    let mut data = [Data::default(); 2];
    let addresses = [(&raw mut header).expose_provenance(), data.as_mut_ptr().expose_provenance()];
    // SAFETY: version 3 fills two `Data`, and writes nothing else but the header.
    unsafe { syscall(libc::SYS_capget, [addresses[0], addresses[1], 0, 0, 0, 0])? };
    let [low, high] = data;
    let whole = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Capabilities {
        effective: whole(low.effective, high.effective),
        permitted: whole(low.permitted, high.permitted),
        inheritable: whole(low.inheritable, high.inheritable),
    })
}

/// Whether the calling thread's bounding set has this capability; EINVAL if the kernel knows none of this number. May run between
/// clone and exec.
pub(super) fn is_in_bounding_set(number: u32) -> Result<bool, Errno> {
    prctl(libc::PR_CAPBSET_READ, number as usize).map(|value| value != 0)
}

/// The calling thread's bounding set; and the capabilities that this kernel knows, whose numbers have no gaps.
pub(crate) fn bounding_set() -> (u64, u64) {
    let (mut set, mut known) = (0, 0);
    for number in 0..u64::BITS {
        let Ok(has) = is_in_bounding_set(number) else { break };
        known |= 1 << number;
        set |= u64::from(has) << number;
    }
    (set, known)
}
