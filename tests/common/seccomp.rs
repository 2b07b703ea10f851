//! seccomp(2) filters, which take system calls away from this process and its children for good.

use std::ffi::c_long;
use std::io;

pub(crate) fn statement(code: u32, value: u32, if_equal: u8, otherwise: u8) -> libc::sock_filter {
    libc::sock_filter { code: code as u16, jt: if_equal, jf: otherwise, k: value }
}

/// From now on a seccomp filter has `action` done with these system calls of this process and its children.
pub(crate) fn filter(calls: &[c_long], action: u32) {
    let load_number = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let mut program = vec![statement(load_number, 0, 0, 0)];
    for call in calls {
        program.push(statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *call as u32, 0, 1));
        program.push(statement(libc::BPF_RET | libc::BPF_K, action, 0, 0));
    }
    install(program);
}

pub(crate) fn install(program: Vec<libc::sock_filter>) {
    install_and_keep(program, false);
}

/// `keeps_privileges`: programs with set-user-id go on to have those, if this process has CAP_SYS_ADMIN.
pub(crate) fn install_and_keep(mut program: Vec<libc::sock_filter>, keeps_privileges: bool) {
    program.push(statement(libc::BPF_RET, libc::SECCOMP_RET_ALLOW, 0, 0));
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let mode = libc::SECCOMP_MODE_FILTER;
    // SAFETY: the program lives through the call, which copies it.
    let set = || unsafe { libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program) };
    if !keeps_privileges || set() != 0 {
        // SAFETY: numbers only. Without it an ordinary user may install no filter.
        let forgone = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        assert_eq!(forgone, 0, "{}", io::Error::last_os_error());
        assert_eq!(set(), 0, "{}", io::Error::last_os_error());
    }
}

pub(crate) fn answer(calls: &[c_long], errno: i32) {
    filter(calls, libc::SECCOMP_RET_ERRNO | errno as u32);
}
