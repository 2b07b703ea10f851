//! Doctests.

/// With a main function made by rustdoc:
/// ```
/// use linux_namespaces::{flags::*, test::isolated};
/// isolated(USER | PID, || assert_eq!(std::process::id(), 1));
/// ```
/// With its own, and another function:
/// ```
/// use linux_namespaces::{flags::*, test::isolated};
/// fn main() {
///     body();
/// }
/// fn body() {
///     isolated(USER | PID, || assert_eq!(std::process::id(), 1));
/// }
/// ```
/// One that fails:
/// ```should_panic
/// use linux_namespaces::{flags::*, test::isolated};
/// isolated(USER | PID, || assert_eq!(std::process::id(), 2));
/// ```
pub fn documented() {}

#[cfg(test)]
mod tests {
    mod deep {
        use linux_namespaces::{flags::*, test::isolated};

        #[test]
        fn in_a_module() {
            isolated(USER | PID, || assert_eq!(std::process::id(), 1));
        }
    }
}
