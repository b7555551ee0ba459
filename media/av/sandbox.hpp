// What the codec child cannot do any more once it has loaded its libraries: everything but compute, and talk to its parent.
//
// A decoder that a hostile file has taken over runs the attacker's code with our user's rights. Two walls; the first is enough, the second
// stands where the first has a hole nobody knows of:
//  * seccomp: a short list of system calls. Reading and writing work on the stream to the parent alone; nothing can be
//    opened, connected, started, signalled or made executable. Any other call answers EPERM and does not kill, because
//    libraries probe for what they can do without.
//  * Landlock, where the kernel has it: no file, no TCP port, no abstract socket and no other process's signal, by rules
//    that do not depend on a list of system calls being right.
// No thread may be started either: everything here is set to one thread, a thread costs the kernel memory that no limit
// of the process counts, and a process identifier that the whole machine has to share.
//
// Signals can be neither caught nor blocked behind the wall, so SIGXCPU ends a child that used up its processor seconds.
// Under sanitizers nothing is applied: their run-time needs the calls that this takes away.
#pragma once

#include "media/child_protocol.hpp"

namespace latham::media {

/// Confines the calling process for good and answers what is in force, as found by trying the doors. `stream` is the
/// descriptor to the parent. Call with one thread, after everything is loaded, before the first byte of input. Never
/// fails: a wall that this kernel does not have is false in the answer, and the parent decides.
[[nodiscard]] containment enter_sandbox(int stream);

}  // namespace latham::media
