//! A Vulkan layer that lets SAPIEN 2.2.2 draw on Mesa's processor driver (lavapipe).
//!
//! SAPIEN asks every device for `VK_KHR_external_semaphore_fd`, to share semaphores with CUDA,
//! and never uses it where there is no CUDA. Lavapipe lacks it and refuses to make the device.
//! The layer's manifest offers the extension, which satisfies the loader; `vkCreateDevice` here
//! drops its name from the request where the device lacks it. Everything else is passed on.
//!
//! The harness writes the manifest and turns the layer on for a worker that draws with
//! lavapipe; no other process ever loads it.
//!
//! Source: Khronos' loader and layer interface, version 2 of the negotiation.

mod interface;

use std::ffi::{CStr, c_char, c_void};
use std::sync::Mutex;

use interface::{
    CreateDevice, CreateInstance, DeviceCreateInfo, DeviceLink, ERROR_INITIALIZATION_FAILED,
    ExtensionProperties, Function, GetProcAddr, Handle, InstanceCreateInfo, InstanceLink,
    LOADER_DEVICE_CREATE_INFO, LOADER_INSTANCE_CREATE_INFO, Negotiation, Result, SUCCESS,
    link_info,
};

/// The extension that a device may lack.
const OPTIONAL: &CStr = c"VK_KHR_external_semaphore_fd";
/// The version of the negotiation that this layer speaks.
const INTERFACE_VERSION: u32 = 2;

/// What comes after this layer, for one instance or device.
#[derive(Clone, Copy)]
struct Next {
    /// The loader's dispatch table: the same for an instance and its physical devices.
    table: usize,
    /// The instance, null for a device.
    instance: Handle,
    get: GetProcAddr,
}

// SAFETY: the handle is a name that is passed on and never followed, apart from its dispatch
// table, which the loader keeps readable from every thread.
unsafe impl Send for Next {}

static INSTANCES: Mutex<Vec<Next>> = Mutex::new(vec![]);
static DEVICES: Mutex<Vec<Next>> = Mutex::new(vec![]);

/// Tells the loader where the layer's entries are.
///
/// # Safety
/// `negotiation` is null or the loader's structure.
#[unsafe(no_mangle)]
pub unsafe extern "system" fn vkNegotiateLoaderLayerInterfaceVersion(
    negotiation: *mut Negotiation,
) -> Result {
    // SAFETY: the caller's promise.
    let Some(negotiation) = (unsafe { negotiation.as_mut() }) else {
        return ERROR_INITIALIZATION_FAILED;
    };
    if negotiation.version < INTERFACE_VERSION {
        return ERROR_INITIALIZATION_FAILED;
    }
    negotiation.version = INTERFACE_VERSION;
    negotiation.get_instance_proc_addr = Some(instance_entry);
    negotiation.get_device_proc_addr = Some(device_entry);
    negotiation.get_physical_device_proc_addr = None;
    SUCCESS
}

/// `vkGetInstanceProcAddr`.
unsafe extern "system" fn instance_entry(instance: Handle, name: *const c_char) -> Function {
    // SAFETY: Vulkan hands over a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkGetInstanceProcAddr" => function(instance_entry as *const c_void),
        b"vkGetDeviceProcAddr" => function(device_entry as *const c_void),
        b"vkCreateInstance" => function(create_instance as *const c_void),
        b"vkCreateDevice" => function(create_device as *const c_void),
        // SAFETY: the next entry is called as this one was.
        _ => find(&INSTANCES, instance).and_then(|next| unsafe { (next.get)(instance, name) }),
    }
}

/// `vkGetDeviceProcAddr`.
unsafe extern "system" fn device_entry(device: Handle, name: *const c_char) -> Function {
    // SAFETY: Vulkan hands over a C string.
    match unsafe { CStr::from_ptr(name) }.to_bytes() {
        b"vkGetDeviceProcAddr" => function(device_entry as *const c_void),
        // SAFETY: the next entry is called as this one was.
        _ => find(&DEVICES, device).and_then(|next| unsafe { (next.get)(device, name) }),
    }
}

/// `vkCreateInstance`: passes on, and remembers what comes next.
unsafe extern "system" fn create_instance(
    info: *const InstanceCreateInfo,
    allocator: *const c_void,
    instance: *mut Handle,
) -> Result {
    // SAFETY: Vulkan hands over a chain that ends in null; the loader put its link into it and
    // expects a layer to move that link on before it calls the next one.
    unsafe {
        let link = link_info::<InstanceLink>((*info).next, LOADER_INSTANCE_CREATE_INFO);
        let Some(link) = link else { return ERROR_INITIALIZATION_FAILED };
        let get = (*link.layer).get_instance_proc_addr;
        link.layer = (*link.layer).next;
        let Some(create) = get(std::ptr::null_mut(), c"vkCreateInstance".as_ptr()) else {
            return ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<unsafe extern "system" fn(), CreateInstance>(create);
        let result = create(info, allocator, instance);
        if result == SUCCESS {
            remember(&INSTANCES, Next { table: table(*instance), instance: *instance, get });
        }
        result
    }
}

/// `vkCreateDevice`: passes on without the extension that the device lacks.
unsafe extern "system" fn create_device(
    physical: Handle,
    info: *const DeviceCreateInfo,
    allocator: *const c_void,
    device: *mut Handle,
) -> Result {
    let Some(next) = find(&INSTANCES, physical) else { return ERROR_INITIALIZATION_FAILED };
    // SAFETY: as in `create_instance`. The names are C strings that outlive the call, and the
    // changed copy of the structure is used during the call alone.
    unsafe {
        let link = link_info::<DeviceLink>((*info).next, LOADER_DEVICE_CREATE_INFO);
        let Some(link) = link else { return ERROR_INITIALIZATION_FAILED };
        let (get, get_device) =
            ((*link.layer).get_instance_proc_addr, (*link.layer).get_device_proc_addr);
        link.layer = (*link.layer).next;
        let Some(create) = get(next.instance, c"vkCreateDevice".as_ptr()) else {
            return ERROR_INITIALIZATION_FAILED;
        };
        let create = std::mem::transmute::<unsafe extern "system" fn(), CreateDevice>(create);
        let mut names = match (*info).extension_count {
            0 => vec![],
            count => std::slice::from_raw_parts((*info).extension_names, count as usize).to_vec(),
        };
        if !has_extension(&next, get, physical) {
            names.retain(|name| CStr::from_ptr(*name) != OPTIONAL);
        }
        let mut info = *info;
        info.extension_count = names.len() as u32;
        info.extension_names = names.as_ptr();
        let result = create(physical, &raw const info, allocator, device);
        if result == SUCCESS {
            let instance = std::ptr::null_mut();
            remember(&DEVICES, Next { table: table(*device), instance, get: get_device });
        }
        result
    }
}

/// Whether the device itself offers the extension.
///
/// # Safety
/// `get` belongs to the next layer of `next`'s instance, `physical` is a device of it.
unsafe fn has_extension(next: &Next, get: GetProcAddr, physical: Handle) -> bool {
    type Enumerate = unsafe extern "system" fn(
        Handle,
        *const c_char,
        *mut u32,
        *mut ExtensionProperties,
    ) -> Result;
    // SAFETY: the caller's promise, and Vulkan's type of that function; it is asked for the
    // count first and fills as many elements as it said.
    unsafe {
        let name = c"vkEnumerateDeviceExtensionProperties";
        let Some(enumerate) = get(next.instance, name.as_ptr()) else { return false };
        let enumerate = std::mem::transmute::<unsafe extern "system" fn(), Enumerate>(enumerate);
        let mut count = 0;
        let layer = std::ptr::null();
        if enumerate(physical, layer, &raw mut count, std::ptr::null_mut()) != SUCCESS {
            return false;
        }
        let mut found = vec![ExtensionProperties::default(); count as usize];
        let result = enumerate(physical, layer, &raw mut count, found.as_mut_ptr());
        found.truncate(count as usize);
        result == SUCCESS && found.iter().any(|extension| extension.is(OPTIONAL))
    }
}

/// A function's address in Vulkan's form.
fn function(address: *const c_void) -> Function {
    // SAFETY: the callers pass functions of this file; Vulkan casts them back to their types.
    unsafe { std::mem::transmute::<*const c_void, Function>(address) }
}

/// The loader's dispatch table of a handle, as a number to compare.
fn table(handle: Handle) -> usize {
    // SAFETY: a dispatchable handle points to its dispatch table first, by the loader's rules.
    unsafe { *handle.cast::<usize>() }
}

fn find(nexts: &Mutex<Vec<Next>>, handle: Handle) -> Option<Next> {
    if handle.is_null() {
        return None;
    }
    let wanted = table(handle);
    let nexts = nexts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nexts.iter().find(|next| next.table == wanted).copied()
}

/// A later instance or device at the address of one that is gone takes its place.
fn remember(nexts: &Mutex<Vec<Next>>, next: Next) {
    let mut nexts = nexts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    nexts.retain(|other| other.table != next.table);
    nexts.push(next);
}

#[cfg(test)]
mod tests;
