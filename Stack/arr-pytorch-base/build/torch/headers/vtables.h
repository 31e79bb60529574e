// What every user of these classes instantiates at the end of its file, for their tables of virtual functions; a precompiled
// header has what is used in it, and there clang counts no table as used. So they are used here, once for each header.
// Nothing calls these functions, so no object has them.
template <typename T>
bool arrstack_virtual(const T& type) {
  return type.T::equals(type) && type.T::hasFreeVariables() && type.T::containedTypes().empty();
}
inline bool arrstack_virtual(const c10::ListType& a, const c10::FutureType& b, const c10::AwaitType& c, const c10::RRefType& d) {
  return arrstack_virtual(a) && arrstack_virtual(b) && arrstack_virtual(c) && arrstack_virtual(d);
}
