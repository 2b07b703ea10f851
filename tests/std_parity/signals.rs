//! The mask and the dispositions of the program.

use crate::device::*;
use crate::ids::status_text;

/// Blocks signals first. Rust itself ignores SIGPIPE.
pub(crate) fn signals_case() {
    let api = Api::of_this_case();
    let set = set_of(&[libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD, 40]);
    // SAFETY: reads the set.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    let (_, gid) = own_ids();
    let ways: [fn(&mut Cmd, u32) -> &mut Cmd; 3] =
        [|c, _| c.env("K", "v"), |c, _| c.idle_hook(), |c, gid| c.gid(gid)];
    for change in ways {
        let output = change(&mut status_text(api), gid).output().expect("it is spawned");
        let text = said(&output);
        println!("SIGPIPE is ignored: {}", has_signal(text, "SigIgn", libc::SIGPIPE));
        if api == Api::Ours {
            // The one thing here that is not as with std, whose children inherit what is blocked.
            assert_eq!(field("SigBlk", text), "0".repeat(16));
        }
    }
    let own = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    println!("its own: {}", has_signal(&own, "SigIgn", libc::SIGPIPE));
    for signal in [libc::SIGTERM, libc::SIGUSR1, libc::SIGCHLD, 40] {
        assert!(has_signal(&own, "SigBlk", signal), "the caller's own mask is left alone");
    }
}

pub(crate) fn signals_are_as_a_program_expects_them() {
    let program = "SIGPIPE is ignored: false\n".repeat(3);
    assert_eq!(same_in_case("signals"), program + "its own: true\n");
}
