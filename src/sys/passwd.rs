//! getpwuid_r(3): the name of a user, from whatever source this system is set up to ask.

use std::ffi::{CStr, c_char};
use std::{mem, ptr};

/// Where an entry gets this long something else is wrong.
const LONGEST: usize = 1 << 20;

/// `None` if there is no such user, or nobody to ask.
pub(crate) fn user_name(uid: u32) -> Option<Vec<u8>> {
    let mut buffer: Vec<c_char> = vec![0; 1024];
    loop {
        // SAFETY: integers and pointers, for which zero is a value.
        let mut entry: libc::passwd = unsafe { mem::zeroed() };
        let mut found = ptr::null_mut();
        // SAFETY: it writes to the entry, to as much of the buffer as it is told, and to `found`, and is thread-safe.
        let errno = unsafe {
            libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found)
        };
        match errno {
            0 if found.is_null() || entry.pw_name.is_null() => return None,
            0 => {
                // SAFETY: a text in the buffer, which is still there.
                return Some(unsafe { CStr::from_ptr(entry.pw_name) }.to_bytes().to_vec());
            }
            libc::EINTR => {}
            libc::ERANGE if buffer.len() < LONGEST => buffer = vec![0; buffer.len() * 4],
            _ => return None,
        }
    }
}

/// getauxval(3), `AT_SECURE`: whether exec of this program gave it rights that whoever started it does not have.
pub(crate) fn is_set_user_id() -> bool {
    // SAFETY: reads what the kernel told the process at its start.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
