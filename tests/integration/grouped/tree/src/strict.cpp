#include "src/lib.h"
#if defined(__clang__) && !defined(FROM_THE_RULE) // the ordinary build is gcc's, without rules
#error "the rule's flags must come with its header"
#endif
int strict() { return 5; }
