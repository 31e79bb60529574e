#ifdef ASSERT_NOT_INCLUDED
#error "guarded.h must not be included here"
#endif
#ifdef TORCH_ASSERT_ONLY_METHOD_OPERATORS
#error "guarded.h must not be included here"
#endif
inline int guarded() { return 1; }
