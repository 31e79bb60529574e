// Clang instantiates the virtual functions of these classes at the end of every file that has the header: while it precompiles a
// header it counts no table of virtual functions as used. Used here, they are instantiated into the precompiled header, once
// (-fpch-instantiate-templates). Nothing calls this, so no object has it.
template <typename T>
bool arrstack_virtual(const T& type) {
  return type.T::equals(type) && type.T::hasFreeVariables() && type.T::containedTypes().empty();
}
inline bool arrstack_virtual(const c10::ListType& a, const c10::FutureType& b, const c10::AwaitType& c, const c10::RRefType& d) {
  return arrstack_virtual(a) && arrstack_virtual(b) && arrstack_virtual(c) && arrstack_virtual(d);
}
