//! Who may call.

use assay_protocol::registry::RegistryError;

/// Lets only controllers pass.
pub(crate) fn controller() -> Result<(), RegistryError> {
    let caller = ic_cdk::api::msg_caller();
    if ic_cdk::api::is_controller(&caller) {
        Ok(())
    } else {
        Err(RegistryError::NotAController { caller })
    }
}
