//! Where sockets are: addresses, binding listeners, resolving names.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, ToSocketAddrs};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::sys;

/// An end of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Ip(SocketAddr),
    /// A Unix socket; `None` when it has no name, as most clients' have.
    Unix(Option<PathBuf>),
}

impl Address {
    /// The IP address and port, if it is one.
    pub fn ip(&self) -> Option<SocketAddr> {
        match self {
            Address::Ip(address) => Some(*address),
            Address::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Ip(address) => address.fmt(f),
            Address::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Address::Unix(None) => f.write_str("unix:"),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Address::Ip(address)
    }
}

/// How a listener is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind {
    /// Connections the kernel keeps until they are accepted.
    pub backlog: u32,
    /// TCP: share the address with other listeners that say so too (SO_REUSEPORT).
    pub reuse_port: bool,
    /// IPv6: refuse IPv4 in disguise.
    pub v6_only: bool,
    /// Unix: the socket file's permission bits, or the process's umask decides.
    pub mode: Option<u32>,
}

impl Default for Bind {
    fn default() -> Self {
        Bind { backlog: 4096, reuse_port: false, v6_only: false, mode: None }
    }
}

/// Opens a listener: non-blocking, close-on-exec, SO_REUSEADDR; TCP connections it accepts have TCP_NODELAY.
///
/// A Unix socket file that nobody listens on is removed first.
///
/// # Errors
/// What the kernel says; `AddrInUse` when somebody else listens there. A Unix address needs a path.
pub fn bind(address: &Address, how: &Bind) -> io::Result<OwnedFd> {
    if let Address::Unix(path) = address {
        let path = path.as_deref().ok_or(io::ErrorKind::InvalidInput)?;
        remove_stale(path)?;
        let fd = bind_raw(address, how)?;
        if let Some(mode) = how.mode {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))?;
        }
        sys::listen(fd.as_raw_fd(), how.backlog)?;
        return Ok(fd);
    }
    let fd = bind_raw(address, how)?;
    sys::listen(fd.as_raw_fd(), how.backlog)?;
    Ok(fd)
}

/// Makes a group of SO_REUSEPORT listeners take connections by the core that received their handshake: the listener opened
/// n-th gets those of `cores[n]`; those of any other core are spread. One call on any member serves the group.
///
/// # Errors
/// What the kernel says; `InvalidInput` for more than 200 cores.
pub fn steer_by_cpu(listener: impl AsFd, cores: &[usize]) -> io::Result<()> {
    // A conditional jump of a classic BPF program reaches 255 instructions.
    if cores.is_empty() || cores.len() > 200 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let mut program = vec![statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, CPU_OF_PACKET)];
    for (number, core) in cores.iter().enumerate() {
        let compare = statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, *core as u32);
        program.push(libc::sock_filter { jf: 1, ..compare });
        program.push(statement(libc::BPF_RET | libc::BPF_K, number as u32));
    }
    program.push(statement(libc::BPF_ALU | libc::BPF_MOD | libc::BPF_K, cores.len() as u32));
    program.push(statement(libc::BPF_RET | libc::BPF_A, 0));
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: `filter` points to `program`, which lives through the call; the kernel copies and checks it.
    sys::check(unsafe {
        libc::setsockopt(
            listener.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_ATTACH_REUSEPORT_CBPF,
            (&raw const filter).cast(),
            size_of::<libc::sock_fprog>() as libc::socklen_t,
        )
    })
    .map(drop)
}

/// Offset of the receiving core's number among what a packet filter may load (SKF_AD_OFF + SKF_AD_CPU).
const CPU_OF_PACKET: u32 = (-0x1000_i32 + 36) as u32;

/// Binds a TCP address without SO_REUSEPORT and lets it go again: finds out whether another program, or an earlier
/// run of this one, listens there.
///
/// # Errors
/// `AddrInUse` when somebody does, or whatever else keeps the address from being bound.
pub fn probe(address: SocketAddr, v6_only: bool) -> io::Result<()> {
    let how = Bind { reuse_port: false, v6_only, ..Bind::default() };
    bind_raw(&Address::Ip(address), &how).map(drop)
}

/// Addresses of a host, by the system's resolver. Blocks: run it on the pool.
///
/// # Errors
/// What the resolver says.
pub fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match crate::driver::sim::resolver::lookup(host, port) {
        Some(simulated) => simulated,
        None => Ok((host, port).to_socket_addrs()?.collect()),
    }
}

fn bind_raw(address: &Address, how: &Bind) -> io::Result<OwnedFd> {
    let raw = RawAddress::of(address)?;
    let fd = sys::socket(raw.family())?;
    let number = fd.as_raw_fd();
    if let Address::Ip(ip) = address {
        sys::set_option(number, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1i32)?;
        sys::set_option(number, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1i32)?;
        if how.reuse_port {
            sys::set_option(number, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1i32)?;
        }
        if ip.is_ipv6() {
            sys::set_option(number, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, i32::from(how.v6_only))?;
        }
    }
    let (at, length) = raw.parts();
    // SAFETY: the address is valid for `length` bytes.
    sys::check(unsafe { libc::bind(number, at, length) })?;
    Ok(fd)
}

/// Removes a socket file that nobody listens on; leaves everything else for `bind` to complain about.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket());
    if is_socket {
        let tried = std::os::unix::net::UnixStream::connect(path);
        if tried.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// An address in the kernel's form.
pub(crate) struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl RawAddress {
    pub(crate) fn empty() -> RawAddress {
        // SAFETY: all-zero is a valid sockaddr_storage: family AF_UNSPEC.
        RawAddress { storage: unsafe { std::mem::zeroed() }, length: size_of::<libc::sockaddr_storage>() as u32 }
    }

    pub(crate) fn of(address: &Address) -> io::Result<RawAddress> {
        let mut raw = RawAddress::empty();
        let storage = &raw mut raw.storage;
        match address {
            Address::Ip(SocketAddr::V4(v4)) => {
                let form = libc::sockaddr_in {
                    sin_family: libc::AF_INET as u16,
                    sin_port: v4.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(v4.ip().octets()) },
                    sin_zero: [0; 8],
                };
                // SAFETY: sockaddr_storage is at least as large and as aligned as every address form.
                unsafe { storage.cast::<libc::sockaddr_in>().write(form) };
                raw.length = size_of::<libc::sockaddr_in>() as u32;
            }
            Address::Ip(SocketAddr::V6(v6)) => {
                let form = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as u16,
                    sin6_port: v6.port().to_be(),
                    sin6_flowinfo: v6.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: v6.ip().octets() },
                    sin6_scope_id: v6.scope_id(),
                };
                // SAFETY: as above.
                unsafe { storage.cast::<libc::sockaddr_in6>().write(form) };
                raw.length = size_of::<libc::sockaddr_in6>() as u32;
            }
            Address::Unix(path) => {
                let path = path.as_deref().map_or(&b""[..], |path| path.as_os_str().as_bytes());
                let mut form = libc::sockaddr_un { sun_family: libc::AF_UNIX as u16, sun_path: [0; 108] };
                // One byte is for the zero that ends it.
                if path.is_empty() || path.len() >= form.sun_path.len() || path.contains(&0) {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "a socket path has 1 to 107 bytes, no NUL",
                    ));
                }
                for (place, byte) in form.sun_path.iter_mut().zip(path) {
                    *place = *byte as libc::c_char;
                }
                raw.length = (std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len() + 1) as u32;
                // SAFETY: as above.
                unsafe { storage.cast::<libc::sockaddr_un>().write(form) };
            }
        }
        Ok(raw)
    }

    pub(crate) fn family(&self) -> i32 {
        i32::from(self.storage.ss_family)
    }

    pub(crate) fn parts(&self) -> (*const libc::sockaddr, libc::socklen_t) {
        ((&raw const self.storage).cast(), self.length)
    }

    pub(crate) fn parts_mut(&mut self) -> (*mut libc::sockaddr, *mut libc::socklen_t) {
        ((&raw mut self.storage).cast(), &raw mut self.length)
    }

    pub(crate) fn address(&self) -> Address {
        let storage = &raw const self.storage;
        match self.family() {
            libc::AF_INET => {
                // SAFETY: the storage is large and aligned enough, and its family says which form it has.
                let form = unsafe { storage.cast::<libc::sockaddr_in>().read() };
                let ip = Ipv4Addr::from(form.sin_addr.s_addr.to_ne_bytes());
                Address::Ip(SocketAddrV4::new(ip, u16::from_be(form.sin_port)).into())
            }
            libc::AF_INET6 => {
                // SAFETY: as above.
                let form = unsafe { storage.cast::<libc::sockaddr_in6>().read() };
                let ip = Ipv6Addr::from(form.sin6_addr.s6_addr);
                let port = u16::from_be(form.sin6_port);
                Address::Ip(SocketAddrV6::new(ip, port, form.sin6_flowinfo, form.sin6_scope_id).into())
            }
            _ => {
                // SAFETY: as above; whatever else it is, the bytes are initialised.
                let form = unsafe { storage.cast::<libc::sockaddr_un>().read() };
                let room = (self.length as usize).saturating_sub(std::mem::offset_of!(libc::sockaddr_un, sun_path));
                let bytes: Vec<u8> = form.sun_path.iter().take(room).map(|byte| *byte as u8).collect();
                let path = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
                Address::Unix((!path.is_empty()).then(|| PathBuf::from(std::ffi::OsStr::from_bytes(path))))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn an_address_survives_the_kernels_form() {
        let path = Address::Unix(Some("/run/any.sock".into()));
        for address in
            ["127.0.0.1:80".parse().map(Address::Ip).unwrap(), Address::Ip("[::1]:443".parse().unwrap()), path]
        {
            assert_eq!(RawAddress::of(&address).unwrap().address(), address);
        }
        assert!(RawAddress::of(&Address::Unix(Some("x".repeat(108).into()))).is_err());
    }

    #[test]
    fn a_taken_address_is_found_by_the_probe_though_it_shares_its_port() {
        let any = Address::Ip("127.0.0.1:0".parse().unwrap());
        let shared = Bind { reuse_port: true, ..Bind::default() };
        let first = bind(&any, &shared).unwrap();
        let address = sys::local(first.as_raw_fd()).unwrap();
        let second = bind(&address, &shared).unwrap();
        let error = probe(address.ip().unwrap(), false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop((first, second));
        probe(address.ip().unwrap(), false).unwrap();
    }

    #[test]
    fn a_stale_socket_file_is_replaced_and_a_live_one_is_not() {
        let dir = std::env::temp_dir().join(format!("anygate-net-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let address = Address::Unix(Some(dir.join("s")));
        let how = Bind { mode: Some(0o600), ..Bind::default() };
        let live = bind(&address, &how).unwrap();
        assert_eq!(bind(&address, &how).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(live);
        drop(bind(&address, &how).unwrap());
        let mode = std::fs::metadata(dir.join("s")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn names_and_literals_resolve() {
        assert_eq!(resolve("127.0.0.1", 80).unwrap(), ["127.0.0.1:80".parse().unwrap()]);
        assert_eq!(resolve("[::1]", 80).unwrap(), ["[::1]:80".parse().unwrap()]);
    }

    #[test]
    fn connections_go_to_the_listener_of_the_core_that_received_them() {
        let allowed = crate::cores::allowed().unwrap();
        let group = Bind { reuse_port: true, ..Bind::default() };
        let first = TcpListener::from(bind(&Address::Ip(([127, 0, 0, 1], 0).into()), &group).unwrap());
        let address = first.local_addr().unwrap();
        let mut listeners = vec![first];
        for _ in 1..allowed.len() {
            listeners.push(TcpListener::from(bind(&Address::Ip(address), &group).unwrap()));
        }
        steer_by_cpu(&listeners[0], &allowed).unwrap();
        for (number, core) in allowed.iter().enumerate() {
            // On loopback the receiving core is the client's.
            let core = *core;
            let clients = std::thread::spawn(move || {
                crate::cores::pin(core).unwrap();
                (0..16).map(|_| std::net::TcpStream::connect(address).unwrap()).collect::<Vec<_>>()
            });
            let clients = clients.join().unwrap();
            for _ in &clients {
                assert!(listeners[number].accept().is_ok(), "core {core}");
            }
            assert!(listeners.iter().all(|listener| listener.accept().is_err()), "nobody else got one");
        }
    }
}
