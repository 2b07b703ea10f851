//! All that runs between clone and exec.
//!
//! **The law of this file.** The child shares the memory of the caller, on a stack of its own, while the
//! caller's other threads go on; or it is a copy of a process whose other threads are gone and may have held
//! any lock. So: no allocation and no free, no lock, no panic, no `Drop`, nothing of libc that touches
//! thread-local storage. Raw system calls on what was prepared, and an end in exec or `_exit`.
//! What the user gave to run (`PreExec`, `Call`) runs only in a copy, and is the user's own affair.
//!
//! The child replays a list of [`Op`]s. When one fails, its place in the list and the errno are left in
//! [`Shared`], and the caller, who still has the list, knows step and operand from the place.

use std::ffi::{CStr, c_char, c_int, c_ulong, c_void};
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::Ordering::SeqCst;

use super::capset::Change;
use super::clone::{CLONE_NEWTIME, Spec, clone};
use super::id_map::Map;
use super::init::{self, Init};
use super::mount::mount;
use super::mounting::Act;
use super::parent_death::Watched;
use super::probe::Probe;
use super::shared::{Shared, state};
use super::signal::Signals;
use super::syscall::{Errno, syscall};
use super::{
    close_range, futex, getcwd, ids, netdevice, open_namespace, parent_death, prctl, setns, suspend,
};
use crate::NamespaceKind;

/// A hook of the user's, for a copy of the process. An error is an errno.
pub(crate) type Hook<'a> = dyn FnMut() -> Result<(), i32> + Send + 'a;
/// A function of the user's in place of a program, and its exit code.
pub(crate) type Function<'a> = dyn FnMut() -> i32 + Send + 'a;

/// One thing that the child does. Everything it refers to was prepared by the caller.
pub(crate) enum Op<'a> {
    /// close_range(2): a descriptor table of its own, without those from this one on.
    OwnDescriptors { first: u32 },
    /// setns(2) with a namespace file.
    Enter { fd: RawFd, kind: c_int },
    /// setns(2) with a pidfd.
    EnterProcess { fd: RawFd, set: c_int },
    /// prctl(2): whether others of its user, or those in the user namespace that is entered, may look into this memory, which is the
    /// caller's or a copy.
    Dumpable(bool),
    /// clone(2): the rest is done by a new process, and this one goes.
    Hop(Spec),
    /// clone(2): the rest is done by a child of this process, which stays as process 1.
    Init(Init<'a>),
    /// unshare(2), by a process that moves itself.
    Unshare(c_int),
    /// unshare(2) of the time namespace, where the last clone could not do it. Exec enters it; a function never would.
    UnshareTimeIfLegacy { for_function: bool },
    /// cgroups(7): into the cgroup, where the last clone could not do it, and there unshare(2) of the cgroup namespace if one
    /// is to be created; or, by a process that moves itself, in any case.
    Cgroup { processes: RawFd, create_namespace: bool, moves_itself: bool },
    /// time_namespaces(7): the clocks of the time namespace that exec enters. Where the process is a copy, it is created here,
    /// for a clone would have entered it, and is entered then.
    ClockOffsets { path: Option<&'a CStr>, text: &'a [u8], in_copy: bool },
    /// Waits until the caller has written the id maps.
    AwaitMaps { caller: Watched },
    /// user_namespaces(7): writes a uid_map or gid_map.
    WriteMap(Map<'a>),
    /// setsid(2).
    Session,
    /// setpgid(2).
    ProcessGroup(i32),
    /// sethostname(2).
    Hostname(&'a [u8]),
    /// setdomainname(2).
    Domainname(&'a [u8]),
    /// netdevice(7): the interface `lo` up.
    Loopback,
    /// mount(2) on `/`: its propagation, and of all below it.
    Propagation(c_ulong),
    /// mount(2).
    Mount { source: &'a CStr, target: &'a CStr, fstype: &'a CStr, flags: c_ulong },
    /// The mounts and the root that were asked for.
    Mounting(Act<'a>),
    /// dup3(2), or only no more close-on-exec where it is in its place.
    Dup { from: RawFd, to: RawFd },
    /// Keeps a descriptor whose number is wanted for another, until it can be put under the number `to`.
    /// Meanwhile it is under a free number that is none of `taken`.
    Save { fd: RawFd, to: RawFd, taken: &'a [RawFd] },
    /// dup3(2) from the one kept, which is then closed.
    DupSaved { to: RawFd },
    /// close_range(2): closed, or to be closed by exec.
    Close { first: u32, last: u32, at_exec: bool },
    /// chdir(2).
    Chdir(&'a CStr),
    /// getcwd(2): that the directory is one of the mount namespace that was entered.
    DirectoryIsInside,
    /// setgroups(2).
    Groups(&'a [u32]),
    /// setgroups(2) to none if root, as std does before it changes the user; `may_be_denied` in a user namespace.
    DropGroups { may_be_denied: bool },
    /// setresgid(2).
    Gid(u32),
    /// setresuid(2).
    Uid(u32),
    /// capset(2) and its kin.
    Capabilities(Change),
    /// prctl(2).
    NoNewPrivs,
    /// prctl(2): a signal when the parent has ended. `caller` is a pidfd of that.
    ParentDeathSignal { signal: c_int, caller: RawFd },
    /// sigaction(2): every disposition the default; of the signals that may be ignored, where a clone3 has reset the handlers.
    Dispositions { ignored: Signals },
    /// sigprocmask(2): no signal blocked. In a child only after [`Op::Dispositions`].
    Unblock,
    /// environ(7), for a function: a program gets its own from exec.
    Environment(*const *const c_char),
    /// Waits for a byte from `channel`, or for the end of that or of the caller.
    Suspend { channel: RawFd, caller: RawFd },
    /// A hook of the user's.
    PreExec(&'a mut Hook<'a>),
    /// A call that only tells whether it is there.
    Probe(Probe),
    /// execve(2).
    Exec(Exec<'a>),
    /// A function of the user's.
    Call(&'a mut Function<'a>),
    /// Opens the namespace that this process was cloned into, for a caller that shares the descriptor table.
    OpenNamespace(NamespaceKind),
    /// Ends the process: what it was for is done.
    End,
}

/// What execve(2) needs. The paths are tried as execvp(3) does.
#[derive(Clone, Copy)]
pub(crate) struct Exec<'a> {
    pub(crate) paths: &'a [*const c_char],
    pub(crate) argv: &'a [*const c_char],
    /// `None` for what a hook may have made of the copy's own.
    pub(crate) envp: Option<&'a [*const c_char]>,
}

/// The addresses of texts, with a null at the end, as execve(2) takes them.
#[derive(Debug)]
pub(crate) struct Addresses(Vec<*const c_char>);

// SAFETY: addresses of texts that nobody changes; only execve reads them.
unsafe impl Send for Addresses {}
// SAFETY: as above.
unsafe impl Sync for Addresses {}

impl Addresses {
    /// Of texts that stand one behind the other, each with its NUL.
    pub(crate) fn of(texts: &[u8]) -> Self {
        let texts = texts.split_inclusive(|byte| *byte == 0);
        Self(texts.map(|text| text.as_ptr().cast()).chain([ptr::null()]).collect())
    }

    pub(crate) fn as_slice(&self) -> &[*const c_char] {
        &self.0
    }
}

/// What is left to do, as a cloned process is told.
pub(crate) struct Rest<'s, 'o, 'a> {
    ops: &'o mut [Op<'a>],
    /// Place of the first one in the whole list.
    place: usize,
    /// What comes after those, in a list of its own that lives for longer: the caller may go on as soon as this is begun.
    tail: &'s mut [Op<'static>],
    shared: &'s Shared,
}

impl<'s, 'o, 'a> Rest<'s, 'o, 'a> {
    /// The whole list.
    pub(crate) fn all(ops: &'o mut [Op<'a>], shared: &'s Shared) -> Self {
        Self::with_tail(ops, &mut [], shared)
    }

    pub(super) fn with_tail(
        ops: &'o mut [Op<'a>],
        tail: &'s mut [Op<'static>],
        shared: &'s Shared,
    ) -> Self {
        Self { ops, place: 0, tail, shared }
    }
}

/// Clones the process of `spec`, which does what is in `rest`. Gives its id.
///
/// # Safety
/// As for [`clone`]: `rest`, everything in it, and the stacks in its [`Spec`]s live and are left alone until the
/// shared words say that each process is gone; with a stack, all signals are blocked, and no op runs the
/// user's code before a hop without one.
pub(crate) unsafe fn start(spec: &Spec, rest: &mut Rest<'_, '_, '_>) -> Result<i32, Errno> {
    let shared = rest.shared;
    // SAFETY: the caller's promise.
    unsafe { clone(spec, shared, entry, ptr::from_mut(rest).cast()) }
}

/// Where a cloned process begins.
extern "C" fn entry(rest: *mut c_void) -> c_int {
    // SAFETY: `start` passed a `Rest`, which nobody else takes. What it refers to stays until this process is done with it; the
    // `Rest` itself may be on a frame that goes when this process is suspended, so it is taken over here.
    let rest = unsafe { rest.cast::<Rest<'_, '_, '_>>().read() };
    let shared = rest.shared;
    replay(rest);
    exit(if shared.failure().is_none() { 0 } else { 1 })
}

/// Does what is left, up to the first that fails, whose place and errno are then in `shared`.
fn replay(rest: Rest<'_, '_, '_>) {
    let Rest { mut ops, mut place, tail, shared } = rest;
    let mut saved = -1;
    while let Some((op, others)) = ops.split_first_mut() {
        shared.begin(place);
        let result = match op {
            Op::Hop(spec) => {
                let spec = *spec;
                let mut rest = Rest { ops: others, place: place + 1, tail, shared };
                // SAFETY: the promise of `start` covers every hop, and `CLONE_VFORK` keeps this frame alive meanwhile.
                match unsafe { start(&spec, &mut rest) } {
                    Ok(_) => exit(0),
                    Err(errno) => {
                        shared.fail(place, errno);
                        return;
                    }
                }
            }
            Op::Init(init) => {
                let init = *init;
                let last = place + others.len() + tail.len();
                let mut rest = Rest { ops: others, place: place + 1, tail, shared };
                // SAFETY: as for a hop; or it is a copy, which has this frame to itself.
                match unsafe { start(&init.program, &mut rest) } {
                    Ok(program) => init::run(&init, program, last, shared),
                    Err(errno) => {
                        shared.fail(place, errno);
                        return;
                    }
                }
            }
            op => run(op, shared, &mut saved),
        };
        if let Err(errno) = result {
            shared.fail(place, errno);
            return;
        }
        place += 1;
        ops = others;
    }
    if !tail.is_empty() {
        replay(Rest { ops: tail, place, tail: &mut [], shared });
    }
}

/// Does `ops` in the calling process itself, for a program that is to take its place.
///
/// # Safety
/// The caller gives this process up to the program: nothing of it may rely on the descriptors, directories and ids that
/// the ops change. There is no [`Op::Hop`] among them.
pub(crate) unsafe fn replay_here(ops: &mut [Op<'_>], shared: &Shared) {
    replay(Rest::all(ops, shared));
}

pub(super) fn exit(code: c_int) -> ! {
    loop {
        // SAFETY: ends the process; nothing of it is used again.
        let _ = unsafe { syscall(libc::SYS_exit_group, [code as usize, 0, 0, 0, 0, 0]) };
    }
}

/// A system call of the child's, for the rest of this file.
fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize, Errno> {
    // SAFETY: every caller below passes numbers, and addresses of what it borrows for the call or what the list
    // of ops borrows; the effects on this process are what the op asks for.
    unsafe { syscall(number, args) }
}

fn done(result: Result<usize, Errno>) -> Result<(), Errno> {
    result.map(drop)
}

fn run(op: &mut Op<'_>, shared: &Shared, saved: &mut RawFd) -> Result<(), Errno> {
    match op {
        Op::OwnDescriptors { first } => close_range::own_table(*first),
        Op::Enter { fd, kind } => {
            done(call(libc::SYS_setns, [*fd as usize, *kind as usize, 0, 0, 0, 0]))
        }
        Op::EnterProcess { fd, set } => setns::enter_process(*fd, *set),
        Op::Dumpable(dumpable) => {
            prctl::prctl(libc::PR_SET_DUMPABLE, usize::from(*dumpable)).map(drop)
        }
        // `replay` does them.
        Op::Hop(_) | Op::Init(_) => Ok(()),
        Op::Unshare(set) => done(call(libc::SYS_unshare, [*set as usize, 0, 0, 0, 0, 0])),
        Op::UnshareTimeIfLegacy { for_function } => match shared.legacy.load(SeqCst) {
            0 => Ok(()),
            _ if *for_function => Err(Errno(libc::ENOSYS)),
            _ => done(call(libc::SYS_unshare, [CLONE_NEWTIME as usize, 0, 0, 0, 0, 0])),
        },
        Op::Cgroup { processes, create_namespace, moves_itself } => {
            if shared.legacy.load(SeqCst) == 0 && !*moves_itself {
                return Ok(());
            }
            super::cgroup::enter(*processes)?;
            if *create_namespace {
                done(call(libc::SYS_unshare, [libc::CLONE_NEWCGROUP as usize, 0, 0, 0, 0, 0]))?;
            }
            Ok(())
        }
        Op::ClockOffsets { path, text, in_copy } => {
            if *in_copy {
                done(call(libc::SYS_unshare, [CLONE_NEWTIME as usize, 0, 0, 0, 0, 0]))?;
            }
            super::timens::set_offsets(*path, text)?;
            if *in_copy { super::timens::enter_own() } else { Ok(()) }
        }
        Op::AwaitMaps { caller } => await_maps(*caller, shared),
        Op::WriteMap(map) => map.write(),
        Op::Session => done(call(libc::SYS_setsid, [0; 6])),
        Op::ProcessGroup(group) => done(call(libc::SYS_setpgid, [0, *group as usize, 0, 0, 0, 0])),
        Op::Hostname(name) => done(call(
            libc::SYS_sethostname,
            [name.as_ptr().expose_provenance(), name.len(), 0, 0, 0, 0],
        )),
        Op::Domainname(name) => done(call(
            libc::SYS_setdomainname,
            [name.as_ptr().expose_provenance(), name.len(), 0, 0, 0, 0],
        )),
        Op::Loopback => netdevice::loopback(),
        Op::Propagation(flags) => mount(None, c"/", None, *flags, None),
        Op::Mount { source, target, fstype, flags } => {
            mount(Some(source), target, Some(fstype), *flags, None)
        }
        Op::Mounting(act) => act.run(),
        Op::Dup { from, to } => dup(*from, *to),
        Op::Save { fd, taken, .. } => {
            *saved = save(*fd, taken)?;
            Ok(())
        }
        Op::DupSaved { to } => {
            dup(*saved, *to)?;
            done(call(libc::SYS_close, [*saved as usize, 0, 0, 0, 0, 0]))
        }
        Op::Close { first, last, at_exec } => close_range::close_range(*first, *last, *at_exec),
        Op::DirectoryIsInside => getcwd::directory_is_inside(),
        Op::Chdir(path) => {
            done(call(libc::SYS_chdir, [path.as_ptr().expose_provenance(), 0, 0, 0, 0, 0]))
        }
        Op::Groups(groups) => ids::setgroups(groups),
        Op::DropGroups { may_be_denied } => {
            if call(ids::GETUID, [0; 6])? != 0 {
                return Ok(());
            }
            match ids::setgroups(&[]) {
                Err(Errno(libc::EPERM)) if *may_be_denied => Ok(()),
                result => result,
            }
        }
        Op::Gid(id) => {
            done(call(ids::SETRESGID, [*id as usize, *id as usize, *id as usize, 0, 0, 0]))
        }
        Op::Uid(id) => {
            done(call(ids::SETRESUID, [*id as usize, *id as usize, *id as usize, 0, 0, 0]))
        }
        Op::Capabilities(change) => change.make(),
        Op::NoNewPrivs => prctl::set_no_new_privs(),
        Op::ParentDeathSignal { signal, caller } => parent_death::arm(*signal, *caller, shared),
        Op::Dispositions { ignored } => default_dispositions(*ignored, shared),
        Op::Unblock => super::signal::set_mask(&super::signal::EMPTY),
        Op::Environment(envp) => {
            set_environ(*envp);
            Ok(())
        }
        Op::Suspend { channel, caller } => suspend::wait(*channel, *caller, shared),
        Op::PreExec(hook) => hook().map_err(Errno),
        Op::Probe(probe) => probe.run(),
        Op::Exec(exec) => Err(execute(exec)),
        Op::Call(function) => {
            let ready =
                |now| shared.state().compare_exchange(now, state::READY, SeqCst, SeqCst).is_ok();
            if !ready(state::RUNNING) && !ready(state::RELEASED) {
                // Whoever should hear of it is gone.
                exit(1);
            }
            futex::wake(shared.state());
            exit(function())
        }
        Op::OpenNamespace(kind) => {
            let fd = open_namespace::of_a_child(*kind)?;
            shared.set_opened(fd);
            Ok(())
        }
        Op::End => exit(0),
    }
}

fn dup(from: RawFd, to: RawFd) -> Result<(), Errno> {
    if from == to {
        return done(call(libc::SYS_fcntl, [from as usize, libc::F_SETFD as usize, 0, 0, 0, 0]));
    }
    done(call(libc::SYS_dup3, [from as usize, to as usize, 0, 0, 0, 0]))
}

fn save(fd: RawFd, taken: &[RawFd]) -> Result<RawFd, Errno> {
    let how = libc::F_DUPFD_CLOEXEC as usize;
    let mut least = 3;
    loop {
        let copy = call(libc::SYS_fcntl, [fd as usize, how, least, 0, 0, 0])?;
        if !taken.contains(&(copy as RawFd)) {
            return Ok(copy as RawFd);
        }
        let _ = call(libc::SYS_close, [copy, 0, 0, 0, 0, 0]);
        least = copy + 1;
    }
}

/// Says that it waits, and sleeps until the caller has written the maps. Should the caller die, so does this process:
/// nobody else would ever wake it, and it may hold the caller's memory.
fn await_maps(caller: Watched, shared: &Shared) -> Result<(), Errno> {
    // Often they are written before this process has run at all.
    if shared.state().load(SeqCst) == state::RELEASED {
        return Ok(());
    }
    prctl::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as usize)?;
    // It may have died before it could be noticed. Its parent id says nothing in a new pid namespace.
    if caller.has_ended()? {
        exit(1);
    }
    let word = shared.state();
    if word.compare_exchange(state::RUNNING, state::WAITING, SeqCst, SeqCst).is_ok() {
        futex::wake(word);
        // A parent thread that has ended by then sends no signal, and its process may be seen to have died only a moment later.
        parent_death::await_answer(word, state::WAITING, caller)?;
    }
    if word.load(SeqCst) != state::RELEASED {
        exit(1);
    }
    prctl::prctl(libc::PR_SET_PDEATHSIG, 0).map(drop)
}

/// Not only the handlers, which would run on the caller's memory, but what is ignored too, which exec would keep. The former were reset by the
/// clone, if that was clone3.
fn default_dispositions(ignored: Signals, shared: &Shared) -> Result<(), Errno> {
    if shared.legacy.load(SeqCst) == 0 && ignored != Signals::ALL {
        return super::signal::reset(ignored);
    }
    shared.set_ignored(super::signal::reset_all()?);
    Ok(())
}

/// As execvp(3): the first path that can be executed; if none, the error that says most.
fn execute(exec: &Exec<'_>) -> Errno {
    let envp = exec.envp.map_or_else(environ_now, <[_]>::as_ptr);
    let alone = exec.paths.len() == 1;
    let mut error = Errno(libc::ENOENT);
    for path in exec.paths {
        let args = [
            path.expose_provenance(),
            exec.argv.as_ptr().expose_provenance(),
            envp.expose_provenance(),
            0,
            0,
            0,
        ];
        let Err(Errno(errno)) = call(libc::SYS_execve, args) else { continue };
        match errno {
            libc::EACCES => error = Errno(libc::EACCES),
            // A directory of `PATH` that is too long is passed over without a word.
            libc::ENAMETOOLONG if !alone => {}
            libc::ENOENT | libc::ENOTDIR | libc::ESTALE | libc::ENODEV | libc::ETIMEDOUT
                if !alone =>
            {
                if error != Errno(libc::EACCES) {
                    error = Errno(errno);
                }
            }
            errno => return Errno(errno),
        }
    }
    error
}

unsafe extern "C" {
    static mut environ: *const *const c_char;
}

/// environ(7), in a copy of the process.
fn environ_now() -> *const *const c_char {
    // SAFETY: libc's variable, which no other thread changes in a copy.
    unsafe { environ }
}

/// environ(7), in a copy of the process.
fn set_environ(envp: *const *const c_char) {
    // SAFETY: this is a process with one thread, and the texts are never freed in it.
    unsafe { environ = envp };
}
